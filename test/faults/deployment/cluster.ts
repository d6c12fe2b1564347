import type { ClusterTarget } from '@headwater/core'
import { startCluster, type RedisCluster, type RedisMember } from '@headwater/local-servers'
import { Cluster } from 'ioredis'
import type { Links } from '../links.ts'
import type { Deployment } from './deployment.ts'
import { Roll } from './roll.ts'
import { mastersOf, untilWhole } from './whole.ts'

const masters = 3

/** After which silence the nodes take one of them for dead. */
export const nodeTimeoutMs = 1_500

/** Three masters with a replica each. */
export class Sharded implements Deployment {
  readonly name = 'cluster'
  readonly durability = 'replicated'
  readonly replicas = 1
  readonly servers: readonly RedisMember[]
  readonly roll: Roll
  readonly #cluster: RedisCluster

  private constructor(cluster: RedisCluster) {
    this.#cluster = cluster
    this.servers = [...cluster.masters, ...cluster.replicas]
    this.roll = new Roll(this.servers)
  }

  static async start(): Promise<Sharded> {
    const config = { appendonly: 'yes', appendfsync: 'everysec' }
    return new Sharded(await startCluster({ masters, replicasPerMaster: 1, nodeTimeoutMs, config }))
  }

  get target(): ClusterTarget {
    return { nodes: this.servers.map(({ host, port }) => ({ host, port })) }
  }

  through(links: Links): ClusterTarget {
    const addresses = links.proxies.map(({ address }) => ({ host: address.host!, port: address.port! }))
    const natMap = Object.fromEntries(
      this.servers.map(({ host, port }, at) => [`${host}:${port}`, addresses[at]!]),
    )
    return { nodes: addresses, options: { natMap } }
  }

  openClient(): Cluster {
    const { nodes } = this.target
    return new Cluster([...nodes], { clusterRetryStrategy: () => 50, redisOptions: { protocol: 2 } })
  }

  masters(): Promise<readonly number[]> {
    return mastersOf(this.servers)
  }

  async mend(): Promise<void> {
    await this.roll.revive()
    await untilWhole(this.servers, masters)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cluster.stop()
  }
}
