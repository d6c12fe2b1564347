import { startPostgres, startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { Client } from 'pg'
import { startNats, type NatsAddress } from './nats-server.ts'
import type { RedisAddress } from './raw-client.ts'

/** `redis` holds what is sent, `replica` is a second Redis to apply it to; `follower` is for Redis's own replication. */
export type ServerName = 'redis' | 'replica' | 'follower' | 'postgres' | 'nats'

/** Where the servers are: what processes are told. */
export interface Addresses {
  readonly redis: RedisAddress
  readonly replica: RedisAddress
  readonly follower: RedisAddress & { readonly pid: number }
  /** For `connectionString` of pg. */
  readonly postgres: string
  readonly nats: NatsAddress
}

export interface Servers extends AsyncDisposable {
  /** Only those that were asked for are there: a system names what it needs. */
  readonly addresses: Addresses
  readonly versions: Readonly<Record<string, string>>
}

const redisConfig = {
  // Every reader may fall as far behind as it likes: none is cut off for being slow.
  'client-output-buffer-limit': ['replica 0 0 0', 'pubsub 0 0 0'],
  // A master need not wait for further replicas that might want the same first copy.
  'repl-diskless-sync-delay': '0',
}

/**
 * Starts servers on ports of this machine's loopback, and Postgres, as it only listens there, on its socket. Commits
 * of Postgres wait for the disk, as they do by default; Redis keeps everything in memory, as it does by default.
 *
 * @param onMissing is told which server cannot be had here, and why; without it that is an error
 */
export async function startServers(
  names: readonly ServerName[],
  onMissing?: (name: ServerName, reason: string) => void,
): Promise<Servers> {
  const started: AsyncDisposable[] = []
  const addresses: { -readonly [Name in ServerName]?: Addresses[Name] } = {}
  const versions: Record<string, string> = {}
  const stop = async () => {
    await Promise.all(started.map((server) => server[Symbol.asyncDispose]()))
  }

  async function start(name: ServerName): Promise<void> {
    switch (name) {
      case 'redis':
      case 'replica':
      case 'follower': {
        const redis = await startRedis({ own: true, port: true, config: redisConfig })
        started.push(redis)
        addresses[name] = { ...redisAddress(redis), pid: redis.pid }
        versions['Redis'] = await redisVersion(redis)
        return
      }
      case 'postgres': {
        const postgres = await startPostgres({ own: true, durable: true })
        started.push(postgres)
        addresses.postgres = postgres.url
        versions['PostgreSQL'] = await postgresVersion(postgres.url)
        return
      }
      case 'nats': {
        const nats = await startNats()
        started.push(nats)
        addresses.nats = nats.address
        versions['NATS server'] = nats.version
      }
    }
  }

  for (const name of new Set(names)) {
    try {
      await start(name)
    } catch (error) {
      if (onMissing === undefined) {
        await stop()
        throw error
      }
      onMissing(name, error instanceof Error ? error.message : String(error))
    }
  }
  return { addresses: addresses as Addresses, versions, [Symbol.asyncDispose]: stop }
}

export function redisAddress({ host = '127.0.0.1', port = 0 }: OwnRedisServer): RedisAddress {
  return { host, port }
}

export async function redisVersion(server: OwnRedisServer): Promise<string> {
  const client = new Redis(server.options)
  const info = await client.info('server')
  client.disconnect()
  return /redis_version:(\S+)/.exec(info)?.[1] ?? 'unknown'
}

async function postgresVersion(connectionString: string): Promise<string> {
  const client = new Client({ connectionString })
  await client.connect()
  const { rows } = await client.query<{ server_version: string }>('SHOW server_version')
  await client.end()
  return rows[0]?.server_version ?? 'unknown'
}
