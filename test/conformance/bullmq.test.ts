import { randomUUID } from 'node:crypto'
import type { ChangeJob } from '@headwater/bullmq'
import { bullmqSink } from '@headwater/bullmq'
import { eventSinkConformance, type EventSinkHarness, type TakenEvent } from '@headwater/conformance'
import {
  startCluster,
  startProxy,
  startRedis,
  type RedisCluster,
  type RedisServer,
  type TcpProxy,
} from '@headwater/local-servers'
import { Queue } from 'bullmq'
import { Cluster, type Redis } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'
import { RedisClients } from '../support/redis-clients.ts'

let server: RedisServer
let cluster: RedisCluster

beforeAll(async () => {
  ;[server, cluster] = await Promise.all([startRedis(), startCluster()])
})

afterAll(async () => {
  await Promise.all([server.stop(), cluster.stop()])
})

eventSinkConformance('bullmq', harness())
eventSinkConformance('bullmq on a Cluster', clusterHarness())

function harness(): EventSinkHarness {
  return {
    supports: { transactions: true, gaps: false },
    async open(collection) {
      const prefix = `${server.namespacePrefix}${randomUUID()}`
      const clients = new RedisClients(server)
      const sinkOf = (client: Redis) => bullmqSink({ client, collection, queue: 'changes', prefix })
      const ours = clients.connect()
      const queue = new Queue<ChangeJob>('changes', { connection: ours, prefix })
      return {
        sink: sinkOf(ours),
        another: async () => sinkOf(clients.connect()),
        async faulty() {
          const { client, link } = await clients.connectByLink()
          return { sink: sinkOf(client), link }
        },
        taken: () => takenFrom(queue),
        async close() {
          await queue.close()
          const keys = await ours.keys(`${prefix}*`)
          if (keys.length > 0) await ours.unlink(keys)
          await clients.close()
        },
      }
    },
  }
}

/** One slot, so its faults are those of one link; here it is about finding the master and the keys. */
function clusterHarness(): EventSinkHarness {
  return {
    supports: { transactions: true, gaps: false },
    runs: 5,
    async open(collection) {
      const name = `{changes-${randomUUID()}}`
      const clients: Cluster[] = []
      const proxies: TcpProxy[] = []
      const connect = (links: readonly TcpProxy[] = []) => {
        const natMap = Object.fromEntries(
          links.map(({ address: { host = '', port = 0 } }, at) => {
            const node = cluster.addresses[at]!
            return [`${node.host}:${node.port}`, { host, port }] as const
          }),
        )
        const client = new Cluster([...cluster.addresses], { natMap, clusterRetryStrategy: () => 10 })
        clients.push(client)
        return client
      }
      const sinkOf = (client: Cluster) => bullmqSink({ client, collection, queue: name })
      const ours = connect()
      const queue = new Queue<ChangeJob>(name, { connection: ours })
      return {
        sink: sinkOf(ours),
        another: async () => sinkOf(connect()),
        async faulty() {
          const links = await Promise.all(cluster.addresses.map((address) => startProxy(address)))
          proxies.push(...links)
          const slot = await ours.cluster('KEYSLOT', name)
          const [master] = ours.slots[slot]!
          const at = cluster.addresses.findIndex(({ host, port }) => `${host}:${port}` === master)
          return { sink: sinkOf(connect(links)), link: links[at]! }
        },
        taken: () => takenFrom(queue),
        async close() {
          await queue.close()
          for (const client of clients) client.disconnect()
          for (const link of proxies) await link.stop()
        },
      }
    },
  }
}

async function takenFrom(queue: Queue<ChangeJob>): Promise<TakenEvent[]> {
  const jobs = await queue.getJobs('waiting', 0, -1, true)
  return jobs.map(({ data: { key, kind, version, value } }) => ({ key, kind, version, value }))
}
