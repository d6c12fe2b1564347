import { randomUUID } from 'node:crypto'
import { sinkConformance, type SinkHarness } from '@headwater/conformance'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { redisSink, type ValueLayout } from '@headwater/redis'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'
import { readHash } from '../support/read-hash.ts'
import { RedisClients } from '../support/redis-clients.ts'

let server: RedisServer

beforeAll(async () => {
  server = await startRedis()
})

afterAll(async () => {
  await server.stop()
})

sinkConformance('redis string', harness('json'))
sinkConformance('redis hash', harness('hash'))

function harness(value: ValueLayout): SinkHarness {
  return {
    supports: {
      transactions: true,
      list: true,
      read: true,
      replace: true,
      digest: true,
      snapshot: true,
      nul: true,
    },
    async open(collection) {
      const name = `${server.namespacePrefix}${randomUUID()}`
      const clients = new RedisClients(server)
      const sinkOf = (client: Redis) =>
        redisSink({ client, collection, key: `${name}:{key}`, value, prefix: `sink:${name}` })
      const ours = clients.connect()
      return {
        sink: sinkOf(ours),
        another: async () => sinkOf(clients.connect()),
        async faulty() {
          const { client, link } = await clients.connectByLink()
          return { sink: sinkOf(client), link }
        },
        dump: () => dump(ours, `${name}:`, value),
        async close() {
          const keys = await ours.keys(`*${name}*`)
          if (keys.length > 0) await ours.unlink(keys)
          await clients.close()
        },
      }
    },
  }
}

async function dump(client: Redis, prefix: string, value: ValueLayout): Promise<Map<string, unknown>> {
  const shown = new Map<string, unknown>()
  for (const key of await client.keys(`${prefix}*`)) {
    const content: unknown =
      value === 'json' ? JSON.parse((await client.get(key)) ?? '') : await readHash(client, key)
    shown.set(key.slice(prefix.length), content)
  }
  return shown
}
