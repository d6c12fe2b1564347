import { defineConfig } from '@headwater/cli'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { products, visits } from '../cli/shop.ts'

/** A cache of which versions can be built. */
export default defineConfig({
  collections: [products, visits],
  groups: () => ({
    cache: redisSink({
      client: new Redis(process.env['REPLICA_URL']!),
      collection: products,
      key: 'product:{version}:{key}',
      versions: { pointer: 'product:version' },
    }),
  }),
})
