import { randomUUID } from 'node:crypto'
import { sinkConformance } from '@headwater/conformance'
import { startProxy, startRedis, type RedisServer, type TcpProxy } from '@headwater/local-servers'
import { Redis, type RedisOptions } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'
import { hashSink } from '../../examples/write-an-adapter/hash-sink.ts'

let server: RedisServer
beforeAll(async () => (server = await startRedis()))
afterAll(() => server.stop())

sinkConformance('the example of an adapter', {
  supports: { transactions: true, list: true, read: true, nul: true },
  runs: 5,
  async open(collection) {
    const name = `${server.namespacePrefix}${randomUUID()}`
    const clients: Redis[] = []
    const links: TcpProxy[] = []
    const connect = (options: RedisOptions): Redis => {
      const client = new Redis(options)
      clients.push(client)
      return client
    }
    const ours = connect(server.options)
    return {
      sink: hashSink(ours, collection, name),
      another: async () => hashSink(connect(server.options), collection, name),
      async faulty() {
        const link = await startProxy(server.options)
        links.push(link)
        const client = connect({ ...server.options, ...link.address, retryStrategy: () => 10 })
        // The breaks are wanted; without a listener ioredis would print them.
        client.on('error', () => {})
        return { sink: hashSink(client, collection, name), link }
      },
      async dump() {
        const values = Object.entries(await ours.hgetall(name))
        return new Map(values.map(([key, value]) => [key, JSON.parse(value) as unknown]))
      },
      async close() {
        await ours.unlink(name, `${name}:rows`, `${name}:progress`)
        for (const client of clients) client.disconnect()
        for (const link of links) await link.stop()
      },
    }
  },
})
