import { Queue, Worker } from 'bullmq'
import { Arrivals } from '../src/arrivals.ts'
import { emptyRedis } from '../src/empty-redis.ts'
import type { Product } from '../src/product.ts'
import type { System } from '../src/system.ts'

const queueName = 'products'

export const system: System = {
  name: 'bullmq',
  settings:
    'BullMQ: `addBulk` of 500 jobs, 2 calls under way; one worker with a concurrency of 100, without metrics, stalled checks and lock renewal; jobs are removed when they are done',
  needs: ['redis'],
  packages: ['bullmq', 'ioredis'],
  messages: 20_000,
  sending: { together: 500, inFlight: 2 },
  keepsBacklog: true,
  async reset({ redis }) {
    await emptyRedis(redis)
  },
  async openProducer({ redis }) {
    const queue = new Queue<Product>(queueName, {
      connection: redis,
      defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
    })
    return {
      send: (products: readonly Product[]) =>
        queue.addBulk(products.map((data) => ({ name: 'product', data }))),
      close: () => queue.close(),
    }
  },
  async openConsumer({ redis }, onSentAt) {
    const completed = new Arrivals()
    let worker: Worker<Product> | undefined
    return {
      async start() {
        worker = new Worker<Product>(queueName, async ({ data }) => onSentAt?.(data.sentAt), {
          connection: { ...redis, maxRetriesPerRequest: null },
          concurrency: 100,
          skipStalledCheck: true,
          skipLockRenewal: true,
        })
        worker.on('completed', () => completed.add(1))
        await worker.waitUntilReady()
      },
      async stop() {
        await worker?.close()
      },
      caughtUp: (products) => completed.reach(products),
      async close() {
        await worker?.close()
      },
    }
  },
}
