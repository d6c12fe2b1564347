// A worker with a Redis replica, as a process of its own: its memory is what the test watches.
import { connect, defineCollection, startWorker } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { z } from 'zod'

const [logUrl = '', replicaUrl = ''] = process.argv.slice(2)
const products = defineCollection('products', {
  schema: z.object({ sku: z.string(), text: z.string() }),
  key: ({ sku }) => sku,
})
const log = await connect(logUrl, { namespace: 'shop', collections: [products] })
const client = new Redis(replicaUrl.replace('unix://', ''))
const cache = redisSink({ client, collection: products, key: (sku) => `product:${sku}` })
const worker = await startWorker(log, {
  groups: { cache },
  leaseMs: 5_000,
  onEvent: ({ kind }) => process.send?.(kind),
})
process.once('disconnect', () => process.exit())
process.once('SIGTERM', () => void worker.stop().then(() => process.exit()))
