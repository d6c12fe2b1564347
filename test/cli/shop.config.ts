import { defineConfig } from '@headwater/cli'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { products, visits } from './shop.ts'

/** A worker that keeps a replica in REPLICA_URL. */
export default defineConfig({
  collections: [products, visits],
  partitions: 4,
  leaseMs: 2_000,
  groups: () => ({
    cache: redisSink({
      client: new Redis(process.env['REPLICA_URL']!),
      collection: products,
      key: 'product:{key}',
    }),
  }),
})
