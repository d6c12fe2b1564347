import { defineConfig } from '@headwater/cli'
import { Redis } from 'ioredis'
import { products, visits } from '../cli/shop.ts'
import { versionedCache } from './versioned-cache.ts'

export default defineConfig({
  collections: [products, visits],
  groups: () => ({ cache: versionedCache(new Redis(process.env['REPLICA_URL']!)) }),
})
