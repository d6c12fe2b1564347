import { type RedisMember, startMembers, stopMembers } from './redis-members.ts'
import type { RedisConfig } from './redis-node.ts'
import { every, until } from './until.ts'
import { withRedis } from './with-redis.ts'

/** How `startCluster` starts. */
export interface StartClusterOptions {
  /** Default: 3, the least that can elect a new master. */
  readonly masters?: number
  /** Default: 0. */
  readonly replicasPerMaster?: number
  /** How long a node may be silent before the others take it for dead. Default: 1 second. */
  readonly nodeTimeoutMs?: number
  /** Directives of redis.conf for every node. */
  readonly config?: RedisConfig
}

/** A Redis Cluster of our own. */
export interface RedisCluster extends AsyncDisposable {
  /** For `new Cluster(addresses)`: all nodes. */
  readonly addresses: { readonly host: string; readonly port: number }[]
  /** The nodes that began as masters, in the order of their slots. */
  readonly masters: readonly RedisMember[]
  /** The nodes that began as replicas, those of the first master first. */
  readonly replicas: readonly RedisMember[]
  /** Ends all nodes and removes their folders. Safe to call twice. */
  stop(): Promise<void>
}

const SLOTS = 16_384

/**
 * Starts a Redis Cluster on ports of 127.0.0.1 and waits until every node finds it complete. It is always our own:
 * `REDIS_URL` is not looked at.
 */
export async function startCluster({
  masters: masterCount = 3,
  replicasPerMaster = 0,
  nodeTimeoutMs = 1_000,
  config = {},
}: StartClusterOptions = {}): Promise<RedisCluster> {
  const nodeConfig = {
    'cluster-enabled': 'yes',
    'cluster-node-timeout': String(nodeTimeoutMs),
    'repl-diskless-sync-delay': '0',
    ...config,
  }
  const nodes = await startMembers(
    Array.from({ length: masterCount * (1 + replicasPerMaster) }, () => ({ config: nodeConfig })),
  )
  const masters = nodes.slice(0, masterCount)
  const replicas = nodes.slice(masterCount)
  const stop = () => stopMembers(nodes)
  try {
    await Promise.all(masters.map((master, index) => giveSlots(master, index, masterCount)))
    await introduce(nodes)
    await Promise.all(
      masters.flatMap((master, index) =>
        replicas
          .slice(index * replicasPerMaster, (index + 1) * replicasPerMaster)
          .map((replica) => follow(replica, master)),
      ),
    )
    await until('every node of the cluster is ready', () => every(nodes, isReady))
  } catch (error) {
    await stop()
    throw error
  }
  return {
    get addresses() {
      return nodes.map(({ host, port }) => ({ host, port }))
    },
    masters,
    replicas,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

async function giveSlots(master: RedisMember, index: number, masterCount: number): Promise<void> {
  const [from, to] = [index, index + 1].map((share) => Math.floor((share * SLOTS) / masterCount)) as [
    number,
    number,
  ]
  const slots = Array.from({ length: to - from }, (_, offset) => from + offset)
  await withRedis(master.options, (client) => client.cluster('ADDSLOTS', ...slots))
}

async function introduce(nodes: readonly RedisMember[]): Promise<void> {
  // Nodes that begin with the same epoch would have to settle that among themselves first.
  await Promise.all(
    nodes.map((node, index) =>
      withRedis(node.options, (client) => client.cluster('SET-CONFIG-EPOCH', index + 1)),
    ),
  )
  const [first, ...others] = nodes
  if (first === undefined) return
  await withRedis(first.options, async (client) => {
    for (const { host, port } of others) await client.cluster('MEET', host, port)
  })
  await until('the nodes of the cluster know each other', () =>
    every(nodes, async (node) => (await clusterInfo(node))['cluster_known_nodes'] === String(nodes.length)),
  )
}

async function follow(replica: RedisMember, master: RedisMember): Promise<void> {
  const id = await withRedis(master.options, (client) => client.cluster('MYID'))
  // Refused while the news of the master is still on its way.
  await until('a replica of the cluster knows its master', async () => {
    await withRedis(replica.options, (client) => client.cluster('REPLICATE', id))
    return true
  })
}

async function isReady(node: RedisMember): Promise<boolean> {
  const { cluster_state: state } = await clusterInfo(node)
  const replication = await withRedis(node.options, (client) => client.info('replication'))
  return state === 'ok' && !replication.includes('master_link_status:down')
}

async function clusterInfo(node: RedisMember): Promise<Record<string, string>> {
  const text = await withRedis(node.options, (client) => client.cluster('INFO'))
  return Object.fromEntries(text.split('\r\n').map((line) => line.split(':') as [string, string]))
}
