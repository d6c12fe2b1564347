import { randomUUID } from 'node:crypto'
import { sinkConformance, type SinkHarness } from '@headwater/conformance'
import { startProxy, startRedis, type RedisServer, type TcpProxy } from '@headwater/local-servers'
import { redisSink, type ValueLayout } from '@headwater/redis'
import { Redis, type RedisOptions } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'
import { readHash } from '../support/read-hash.ts'

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
      const clients: Redis[] = []
      const links: TcpProxy[] = []
      const connect = (options: RedisOptions) => {
        const client = new Redis(options)
        clients.push(client)
        return client
      }
      const sinkOf = (client: Redis) =>
        redisSink({ client, collection, key: `${name}:{key}`, value, prefix: `sink:${name}` })
      const ours = connect(server.options)
      return {
        sink: sinkOf(ours),
        another: async () => sinkOf(connect(server.options)),
        async faulty() {
          const link = await startProxy(server.options)
          links.push(link)
          const client = connect({ ...server.options, ...link.address, retryStrategy: () => 10 })
          // The breaks are wanted; without a listener ioredis would print them.
          client.on('error', () => {})
          return { sink: sinkOf(client), link }
        },
        dump: () => dump(ours, `${name}:`, value),
        async close() {
          const keys = await ours.keys(`*${name}*`)
          if (keys.length > 0) await ours.unlink(keys)
          for (const client of clients) client.disconnect()
          for (const link of links) await link.stop()
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
