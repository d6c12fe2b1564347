import { Cluster, Redis, type ClusterNode, type ClusterOptions, type RedisOptions } from 'ioredis'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { RedisClient } from './connection.ts'

/**
 * Where the log lives: a URL (`redis://`, `rediss://`, `unix://`), ioredis options (Sentinel included), the nodes of
 * a Cluster, or an ioredis instance whose options are copied. An instance is never written through.
 */
export type RedisTarget = string | RedisOptions | ClusterTarget | Redis | Cluster

export interface ClusterTarget {
  readonly nodes: readonly ClusterNode[]
  readonly options?: ClusterOptions
}

/** Who a program is to Redis. */
export interface Credentials {
  readonly username?: string
  readonly password: string
}

/** Makes a new client for the same server, under a name that `CLIENT LIST` shows. */
export type ClientFactory = (connectionName: string) => RedisClient

/**
 * ioredis repeats commands whose reply was lost, which appends twice, and can leave their promises pending for ever.
 * With these options a command is sent at most once and rejected as soon as its connection is gone; the repeating is ours.
 */
const sentOnce = {
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  // ioredis leaves the promises of its own resubscriptions alone: when the link is cut again, they end the process.
  autoResubscribe: false,
  enableOfflineQueue: false,
  enableAutoPipelining: false,
  lazyConnect: false,
  // RESP3 brings nothing that we use, and its decoder costs twice the CPU.
  protocol: 2,
  replyMapping: 'legacy',
  stringNumbers: false,
  connectTimeout: 3_000,
  commandTimeout: undefined,
  socketTimeout: undefined,
  blockingTimeout: undefined,
  readOnly: false,
  failoverDetector: true,
  retryStrategy: (times: number) => Math.min(20 * 2 ** Math.min(times, 6), 500) * (0.5 + Math.random() / 2),
  // A node that was demoted answers READONLY: only a new connection finds the new master.
  reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
} as const satisfies Record<string, unknown>

/**
 * @param credentials asked before each connection, also when one is made again
 * @throws HeadwaterError OPTION_INVALID
 */
export function clientFactory(target: RedisTarget, credentials?: () => Credentials): ClientFactory {
  const create = factoryFor(target)
  if (!credentials) return create
  return (connectionName) => {
    const client = create(connectionName, credentials())
    // On a Cluster these are for connections to come; elsewhere ioredis looks here whenever it connects again.
    const options = isCluster(client) ? client.options.redisOptions! : client.options
    client.on('close', () => Object.assign(options, credentials()))
    return client
  }
}

type ClientFactoryWith = (connectionName: string, credentials?: Credentials) => RedisClient

function factoryFor(target: RedisTarget): ClientFactoryWith {
  if (typeof target === 'string') return forOptions(parseUrl(target))
  if (typeof target !== 'object' || target === null || Array.isArray(target)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `The Redis to connect to must be a URL, options or an ioredis instance, not ${String(target)}.`,
    )
  }
  if (isCluster(target)) {
    refusePrefix(target.options.keyPrefix ?? target.options.redisOptions?.keyPrefix)
    return (connectionName, credentials) =>
      target.duplicate([], clusterOptions(target.options, connectionName, credentials))
  }
  if (isRedis(target)) {
    refusePrefix(target.options.keyPrefix)
    return (connectionName, credentials) => target.duplicate({ ...sentOnce, connectionName, ...credentials })
  }
  if ('nodes' in target) {
    const { nodes, options = {} } = target
    if (typeof nodes !== 'object' || !(nodes.length > 0))
      throw new HeadwaterError('OPTION_INVALID', 'nodes of a Cluster must be a list of at least one.')
    refusePrefix(options.keyPrefix ?? options.redisOptions?.keyPrefix)
    return (connectionName, credentials) =>
      new Cluster([...nodes], clusterOptions(options, connectionName, credentials))
  }
  return forOptions(target)
}

function forOptions(options: RedisOptions): ClientFactoryWith {
  refusePrefix(options.keyPrefix)
  return (connectionName, credentials) =>
    new Redis({ ...options, ...sentOnce, connectionName, ...credentials })
}

function clusterOptions(
  options: ClusterOptions,
  connectionName: string,
  credentials: Credentials | undefined,
): ClusterOptions {
  return {
    ...options,
    enableOfflineQueue: false,
    enableAutoPipelining: false,
    lazyConnect: false,
    scaleReads: 'master',
    slotsRefreshTimeout: options.slotsRefreshTimeout ?? 2_000,
    // Else a command whose connection broke would be sent again, and only what became of that be told.
    retryDelayOnFailover: 0,
    redisOptions: { ...options.redisOptions, ...sentOnce, connectionName, ...credentials },
  }
}

/** Reads the URL forms that ioredis knows, and `unix:///path?db=1`, which it does not. */
function parseUrl(text: string): RedisOptions {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    // The text is not repeated: it may hold a password.
    throw new HeadwaterError(
      'OPTION_INVALID',
      'The Redis URL cannot be read. Use redis://host:port/db, rediss://… or unix:///path/to.sock?db=0.',
    )
  }
  if (!['redis:', 'rediss:', 'unix:'].includes(url.protocol)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `A Redis URL begins with redis:, rediss: or unix:, not ${JSON.stringify(url.protocol)}.`,
    )
  }
  const database =
    url.protocol === 'unix:' ? (url.searchParams.get('db') ?? '0') : url.pathname.slice(1) || '0'
  if (!/^\d{1,5}$/.test(database)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `The Redis URL names database ${JSON.stringify(database)}, which is no number.`,
    )
  }
  const options: RedisOptions = { db: Number(database) }
  if (url.username) options.username = decoded(url.username)
  if (url.password) options.password = decoded(url.password)
  if (url.protocol === 'unix:') return { ...options, path: decoded(url.pathname) }
  const host = url.hostname.replace(/^\[|\]$/g, '') || 'localhost'
  if (url.protocol === 'rediss:') options.tls = { servername: host }
  if (url.port === '0')
    throw new HeadwaterError('OPTION_INVALID', 'Nothing listens at port 0, which the Redis URL names.')
  return { ...options, host, port: Number(url.port || 6379) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // Not repeated, and without its cause: it may be a password.
    throw new HeadwaterError(
      'OPTION_INVALID',
      'User, password and path of a Redis URL must be percent-encoded: % as %25, / as %2F, @ as %40.',
    )
  }
}

function refusePrefix(keyPrefix: string | undefined): void {
  if (!keyPrefix) return
  throw new HeadwaterError(
    'OPTION_INVALID',
    `keyPrefix ${JSON.stringify(keyPrefix)} cannot work: it does not reach the keys that scripts use. Use \`namespace\` instead.`,
  )
}

// By shape and not by instanceof: the caller may hold another copy of ioredis.
function isCluster(target: object): target is Cluster {
  return 'nodes' in target && typeof target.nodes === 'function'
}

function isRedis(target: object): target is Redis {
  return 'duplicate' in target && typeof target.duplicate === 'function'
}
