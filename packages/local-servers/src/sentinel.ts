import type { RedisOptions } from 'ioredis'
import { type RedisMember, startMembers, stopMembers } from './redis-members.ts'
import type { RedisConfig } from './redis-node.ts'
import { every, until } from './until.ts'
import { withRedis } from './with-redis.ts'

/** How `startSentinel` starts. */
export interface StartSentinelOptions {
  /** Default: 1. */
  readonly replicas?: number
  /** Default: 3; more than half of them have to agree that the master is dead. */
  readonly sentinels?: number
  /** How long the master may be silent before a Sentinel takes it for dead. Default: half a second. */
  readonly downAfterMs?: number
  /** Directives of redis.conf for master and replicas. */
  readonly config?: RedisConfig
}

/** A master, its replicas and the Sentinels that watch them. */
export interface RedisSentinel extends AsyncDisposable {
  /** For `new Redis(options)`, which then follows the master. A new object each time. */
  readonly options: RedisOptions
  /** Master and replicas; the first began as the master. */
  readonly servers: readonly RedisMember[]
  readonly sentinels: readonly RedisMember[]
  /** The server that most Sentinels hold for the master; waits while they disagree. */
  master(): Promise<RedisMember>
  /** Ends all servers and removes their folders. Safe to call twice. */
  stop(): Promise<void>
}

const NAME = 'local'
const FAILOVER_TIMEOUT_MS = 3_000

/**
 * Starts a master with replicas and Sentinels on ports of 127.0.0.1, and waits until the replicas are in step and all
 * Sentinels know everybody. They are always our own: `REDIS_URL` is not looked at.
 */
export async function startSentinel({
  replicas: replicaCount = 1,
  sentinels: sentinelCount = 3,
  downAfterMs = 500,
  config = {},
}: StartSentinelOptions = {}): Promise<RedisSentinel> {
  const started: RedisMember[] = []
  const stop = () => stopMembers(started)
  const start = async (count: number, options: { config: RedisConfig; sentinel?: boolean }) => {
    const members = await startMembers(Array.from({ length: count }, () => options))
    started.push(...members)
    return members
  }
  try {
    const serverConfig = { 'repl-diskless-sync-delay': '0', ...config }
    const [first] = (await start(1, { config: serverConfig })) as [RedisMember]
    const replicas = await start(replicaCount, {
      config: { ...serverConfig, replicaof: `${first.host} ${first.port}` },
    })
    await until('the replicas follow the master', () => every(replicas, isInStep))
    const quorum = Math.floor(sentinelCount / 2) + 1
    const sentinels = await start(sentinelCount, {
      sentinel: true,
      config: {
        sentinel: [
          `monitor ${NAME} ${first.host} ${first.port} ${quorum}`,
          `down-after-milliseconds ${NAME} ${downAfterMs}`,
          `failover-timeout ${NAME} ${FAILOVER_TIMEOUT_MS}`,
        ],
      },
    })
    await until('the Sentinels know each other and the replicas', () =>
      every(sentinels, (sentinel) => knows(sentinel, { sentinels: sentinelCount, replicas: replicaCount })),
    )
    const servers = [first, ...replicas]
    return {
      get options() {
        return { sentinels: sentinels.map(({ host, port }) => ({ host, port })), name: NAME }
      },
      servers,
      sentinels,
      master: () => findMaster(servers, sentinels),
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function isInStep(replica: RedisMember): Promise<boolean> {
  const replication = await withRedis(replica.options, (client) => client.info('replication'))
  return replication.includes('master_link_status:up')
}

async function knows(sentinel: RedisMember, all: { sentinels: number; replicas: number }): Promise<boolean> {
  const reply = await withRedis(sentinel.options, (client) => client.call('SENTINEL', 'MASTERS'))
  const [fields = []] = reply as string[][]
  const field = (name: string) => fields[fields.indexOf(name) + 1]
  return (
    field('flags') === 'master' &&
    field('num-slaves') === String(all.replicas) &&
    field('num-other-sentinels') === String(all.sentinels - 1)
  )
}

async function findMaster(
  servers: readonly RedisMember[],
  sentinels: readonly RedisMember[],
): Promise<RedisMember> {
  let master: RedisMember | undefined
  await until('most Sentinels agree on a master', async () => {
    const votes = await Promise.all(sentinels.map((sentinel) => votedPort(sentinel).catch(() => undefined)))
    master = servers.find(({ port }) => votes.filter((vote) => vote === port).length > sentinels.length / 2)
    return master !== undefined
  })
  return master as RedisMember
}

async function votedPort(sentinel: RedisMember): Promise<number> {
  const reply = await withRedis(sentinel.options, (client) =>
    client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME),
  )
  return Number((reply as [host: string, port: string])[1])
}
