import { defineConfig } from '@headwater/cli'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { namespace, products, redis } from './shop.ts'

export default defineConfig({
  redis,
  namespace,
  collections: [products],
  // A copy of the products as JSON, one Redis key each. In earnest it is at another server, or in another database.
  groups: () => ({
    cache: redisSink({ client: new Redis(redis), collection: products, key: (sku) => `product:${sku}` }),
  }),
})
