import type { RedisOptions } from 'ioredis'
import { useGivenRedis } from './given-redis.ts'
import { type RedisConfig, RedisNode } from './redis-node.ts'

/** How `startRedis` starts. */
export interface StartRedisOptions {
  /** Directives of redis.conf; a list repeats the directive. Default: nothing is saved, and `DEBUG` is allowed. */
  readonly config?: RedisConfig
  /** Listens on this TCP port of 127.0.0.1 as well, or on a free one. Default: on a Unix socket only. */
  readonly port?: boolean | number
  /** Where it saves its data; a given folder outlives the server. Default: a folder that `stop` removes. */
  readonly dir?: string
  /** A command that runs the server's, such as `env` with settings: `['env', '--ignore-signal=XFSZ']`. */
  readonly under?: readonly string[]
  /** Insists on a server of our own also when `REDIS_URL` is set. Default: true when any other option is given. */
  readonly own?: boolean
}

/** A Redis to work on: one of our own, or that of `REDIS_URL`. */
export interface RedisServer extends AsyncDisposable {
  /** Whether it is ours: then it is empty at first, and takes signals. */
  readonly own: boolean
  /** For clients: `unix://…`, `redis://…`, or what `REDIS_URL` says. */
  readonly url: string
  /** For `new Redis(options)`; a new object each time. */
  readonly options: RedisOptions
  /** To be part of the name of every key made here. Empty on a server of our own. */
  readonly namespacePrefix: string
  /** Sends a signal; one that ends the server is waited for. Throws `NOT_OURS` behind `REDIS_URL`. */
  kill(signal: NodeJS.Signals): Promise<void>
  /** Ends it if it runs, and starts it with the same addresses and folder. Throws `NOT_OURS` behind `REDIS_URL`. */
  restart(): Promise<void>
  /** Ends the server and removes its folder; behind `REDIS_URL` deletes the keys with our prefix. Safe to call twice. */
  stop(): Promise<void>
}

/** A Redis server of our own. */
export interface OwnRedisServer extends RedisServer {
  readonly own: true
  /** Of the process that runs now: another one after a restart. */
  readonly pid: number
  readonly socketPath: string
  /** 127.0.0.1, when it listens on a port. */
  readonly host: string | undefined
  readonly port: number | undefined
  /** Where it saves its data. */
  readonly dir: string
}

/**
 * Starts a Redis server and waits until it answers; it ends with this process at the latest. With `REDIS_URL` set, and no
 * option that asks for a server of our own, it works on that server instead, in keys of its own.
 */
export function startRedis(options: StartRedisOptions & { readonly own: true }): Promise<OwnRedisServer>
export function startRedis(options?: StartRedisOptions): Promise<RedisServer>
export async function startRedis(options: StartRedisOptions = {}): Promise<RedisServer> {
  const { own = Object.keys(options).length > 0, ...nodeOptions } = options
  const url = process.env['REDIS_URL']
  return url && !own ? useGivenRedis(url) : RedisNode.start(nodeOptions)
}
