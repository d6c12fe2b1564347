import { startRedis, type RedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'

// A Redis server that others may use at the same time: tests keep to names of their own.

export let server: RedisServer
/** For looking into the server. */
export let client: Redis

/** Opens it before the tests of the file, and closes it behind them. */
export function openSharedRedis(): void {
  beforeAll(async () => {
    server = await startRedis()
    client = new Redis(server.options)
  })
  afterAll(async () => {
    client.disconnect()
    await server.stop()
  })
}
