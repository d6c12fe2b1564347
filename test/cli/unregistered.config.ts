import { defineConfig } from '@headwater/cli'
import { memorySink } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { products } from './shop.ts'

/** A group that no worker has ever run, before one that works. */
export default defineConfig({
  collections: [products],
  groups: () => ({
    nobody: memorySink({ collection: products }),
    cache: redisSink({
      client: new Redis(process.env['REPLICA_URL']!),
      collection: products,
      key: 'product:{key}',
    }),
  }),
})
