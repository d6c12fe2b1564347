import { connect } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { emptyRedis } from '../src/empty-redis.ts'
import { type Product, products } from '../src/product.ts'
import type { RedisAddress } from '../src/raw-client.ts'
import type { Producer, System } from '../src/system.ts'
import { namespace, openWorkerConsumer } from '../src/worker-consumer.ts'

export const system: System = {
  name: 'headwater',
  settings:
    'defaults; `append()` change by change; `redisSink` to a second Redis, values as JSON, every change gated by stamp and fenced',
  needs: ['redis', 'replica'],
  packages: [],
  messages: 200_000,
  sending: { together: 1, inFlight: 1_000 },
  keepsBacklog: true,
  async reset({ redis, replica }) {
    await emptyRedis(redis, replica)
  },
  openProducer: ({ redis }) => openAppender(redis),
  async openConsumer({ redis, replica }, onSentAt) {
    const client = new Redis({ ...replica, protocol: 2 })
    const sink = redisSink({ client, collection: products, key: 'product:{key}' })
    return openWorkerConsumer(redis, sink, onSentAt, async () => client.disconnect())
  },
}

/** Appends change by change, as an application does it. */
export async function openAppender(redis: RedisAddress): Promise<Producer<readonly Product[]>> {
  const log = await connect(redis, { namespace, collections: [products] })
  return {
    send: (some) => Promise.all(some.map((product) => log.append(products.put(product)))),
    close: () => log.close(),
  }
}
