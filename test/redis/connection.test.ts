import { once } from 'node:events'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Connection, type RedisClient } from '../../packages/core/src/redis/connection.ts'

let server: OwnRedisServer

beforeAll(async () => {
  server = await startRedis({ own: true })
})

afterAll(async () => {
  await server.stop()
})

const ping = (client: RedisClient): Promise<string> => (client as Redis).ping()

it('a client that has ended for good is replaced by the next attempt, without waiting for it', async () => {
  const clients: Redis[] = []
  const connection = new Connection(() => {
    const client = new Redis(server.options)
    clients.push(client)
    return client
  })
  expect(await connection.attempt(ping, 5_000)).toBe('PONG')
  const ended = once(clients[0]!, 'end')
  clients[0]!.disconnect()
  await ended
  expect(await connection.attempt(ping, 5_000)).toBe('PONG')
  expect(clients).toHaveLength(2)
  connection.close()
})
