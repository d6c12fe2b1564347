import { defineConfig } from '@headwater/cli'
import { redisSink } from '@headwater/redis'
import { startUpkeep } from '@headwater/upkeep'
import { Redis } from 'ioredis'
import { products, visits } from './shop.ts'

/** Upkeep whose queues are in REPLICA_URL. */
export default defineConfig({
  collections: [products, visits],
  groups: () => ({
    cache: redisSink({
      client: new Redis(process.env['REPLICA_URL']!),
      collection: products,
      key: 'product:{key}',
    }),
  }),
  upkeep: (log, opened) =>
    startUpkeep(log, {
      ...opened,
      client: new Redis(process.env['REPLICA_URL']!),
      tasks: { trim: { everyMs: 60_000 }, verify: { everyMs: 60_000 } },
    }),
})
