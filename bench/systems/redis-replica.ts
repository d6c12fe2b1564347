import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { emptyRedis } from '../src/empty-redis.ts'
import { encodeCommand, joinAll, RawClient, type Write } from '../src/raw-client.ts'
import type { Producer, System } from '../src/system.ts'

/** Says after each write how many products were sent, so that the replica can be asked how far it is. */
const sentKey = 'sent'

export const system: System = {
  name: 'redis-replica',
  settings:
    "Redis's own replication: `SET` of each product, encoded beforehand, 500 a write, 4 writes under way on one socket; the replica is stopped by a signal while a backlog gathers in the master's memory",
  needs: ['redis', 'follower'],
  packages: [],
  messages: 400_000,
  sending: { together: 500, inFlight: 4 },
  keepsBacklog: true,
  async reset({ redis, follower }) {
    await emptyRedis(redis)
    const { host, port } = follower
    const client = new Redis({ host, port })
    await client.replicaof(redis.host, redis.port)
    while (!(await client.info('replication')).includes('master_link_status:up')) await delay(10)
    client.disconnect()
  },
  async openProducer({ redis }): Promise<Producer<Write>> {
    const client = await RawClient.connect(redis)
    let sent = 0
    return {
      encode(products) {
        sent += products.length
        const commands = products.map((product) =>
          encodeCommand(['SET', `product:${product.id}`, JSON.stringify(product)]),
        )
        commands.push(encodeCommand(['SET', sentKey, sent]))
        return joinAll(commands)
      },
      send: (write) => client.send(write),
      async close() {
        client.close()
      },
    }
  },
  async openConsumer({ follower: { host, port, pid } }) {
    const client = new Redis({ host, port })
    return {
      async start() {
        process.kill(pid, 'SIGCONT')
      },
      async stop() {
        process.kill(pid, 'SIGSTOP')
      },
      async caughtUp(products) {
        while (Number(await client.get(sentKey)) < products) await delay(1)
      },
      async close() {
        // Nobody else's writes are to be slowed down by a replica.
        await client.replicaof('NO', 'ONE')
        client.disconnect()
      },
    }
  },
}
