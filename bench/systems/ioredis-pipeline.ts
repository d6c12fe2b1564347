import { Redis } from 'ioredis'
import { emptyRedis } from '../src/empty-redis.ts'
import type { Product } from '../src/product.ts'
import type { RedisAddress } from '../src/raw-client.ts'
import type { Producer, System } from '../src/system.ts'

export const system: System = {
  name: 'ioredis-pipeline',
  settings:
    'one `XADD` with one field for each product, through pipelines of 500, 2 of them under way on one connection; RESP2, which is faster than RESP3 here',
  needs: ['redis'],
  packages: ['ioredis'],
  messages: 200_000,
  sending: { together: 500, inFlight: 2 },
  keepsBacklog: true,
  async reset({ redis }) {
    await emptyRedis(redis)
  },
  openProducer: async ({ redis }) => openXaddPipeline(redis),
}

/** Adds products to the stream `log`. */
export function openXaddPipeline(redis: RedisAddress): Producer<readonly Product[]> {
  const client = new Redis({ ...redis, protocol: 2 })
  return {
    async send(products) {
      const pipeline = client.pipeline()
      for (const product of products) pipeline.xadd('log', '*', 'product', JSON.stringify(product))
      await pipeline.exec()
    },
    async close() {
      client.disconnect()
    },
  }
}
