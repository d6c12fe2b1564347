import { startSentinel, type RedisSentinel } from '@headwater/local-servers'
import { Redis, type RedisOptions } from 'ioredis'
import type { Links } from '../links.ts'
import type { Deployment } from './deployment.ts'
import { Roll } from './roll.ts'
import { untilWhole } from './whole.ts'

const replicas = 3

/** After which silence the Sentinels take a master for dead. */
export const downAfterMs = 1_000

/**
 * A master with three replicas and three Sentinels. Every replica has to have a change before it is acknowledged: while
 * replicas are moved to a new master, the old one can still have a majority of them.
 */
export class BehindSentinels implements Deployment {
  readonly name = 'sentinel'
  readonly durability = 'all-replicas'
  readonly replicas = replicas
  readonly set: RedisSentinel
  readonly roll: Roll

  private constructor(set: RedisSentinel) {
    this.set = set
    this.roll = new Roll(set.servers)
  }

  static async start(): Promise<BehindSentinels> {
    const config = { appendonly: 'yes', appendfsync: 'everysec' }
    return new BehindSentinels(await startSentinel({ replicas, sentinels: 3, downAfterMs, config }))
  }

  get servers(): RedisSentinel['servers'] {
    return this.set.servers
  }

  get target(): RedisOptions {
    return this.set.options
  }

  through(links: Links): RedisOptions {
    const natMap = Object.fromEntries(
      this.servers.map(({ host, port }, at) => {
        const { address } = links.proxies[at]!
        return [`${host}:${port}`, { host: address.host!, port: address.port! }]
      }),
    )
    return { ...this.target, natMap }
  }

  openClient(): Redis {
    return new Redis({ ...this.target, protocol: 2, retryStrategy: () => 20, failoverDetector: true })
  }

  async masters(): Promise<readonly number[]> {
    return [this.servers.indexOf(await this.set.master())]
  }

  async mend(): Promise<void> {
    await this.roll.revive()
    await untilWhole(this.servers, 1)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.set.stop()
  }
}
