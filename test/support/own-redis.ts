import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis, type RedisOptions } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'

// A Redis server that a file of tests has to itself, so that it may fill it, slow it down and stop it.

export let server: OwnRedisServer
/** For looking into the server, and for damaging what is there. */
export let client: Redis

/** Starts it before the tests of the file, and stops it behind them. The options are the client's. */
export function startOwnRedis(options: RedisOptions = {}): void {
  beforeAll(async () => {
    server = await startRedis({ own: true })
    client = new Redis({ ...server.options, ...options })
  })
  afterAll(async () => {
    client.disconnect()
    await server.stop()
  })
}
