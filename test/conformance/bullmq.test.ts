import { randomUUID } from 'node:crypto'
import type { ChangeJob } from '@headwater/bullmq'
import { bullmqSink } from '@headwater/bullmq'
import { eventSinkConformance, type EventSinkHarness } from '@headwater/conformance'
import { startProxy, startRedis, type RedisServer, type TcpProxy } from '@headwater/local-servers'
import { Queue } from 'bullmq'
import { Redis, type RedisOptions } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'

let server: RedisServer

beforeAll(async () => {
  server = await startRedis()
})

afterAll(async () => {
  await server.stop()
})

eventSinkConformance('bullmq', harness())

function harness(): EventSinkHarness {
  return {
    supports: { transactions: true, gaps: false },
    async open(collection) {
      const prefix = `${server.namespacePrefix}${randomUUID()}`
      const clients: Redis[] = []
      const links: TcpProxy[] = []
      const connect = (options: RedisOptions) => {
        const client = new Redis(options)
        clients.push(client)
        return client
      }
      const sinkOf = (client: Redis) => bullmqSink({ client, collection, queue: 'changes', prefix })
      const ours = connect(server.options)
      const queue = new Queue<ChangeJob>('changes', { connection: ours, prefix })
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
        async taken() {
          const jobs = await queue.getJobs('waiting', 0, -1, true)
          return jobs.map(({ data: { key, kind, version, value } }) => ({ key, kind, version, value }))
        },
        async close() {
          await queue.close()
          const keys = await ours.keys(`${prefix}*`)
          if (keys.length > 0) await ours.unlink(keys)
          for (const client of clients) client.disconnect()
          for (const link of links) await link.stop()
        },
      }
    },
  }
}
