import { redisSink } from '@headwater/redis'
import type { Redis } from 'ioredis'
import { products } from '../cli/shop.ts'

/** A cache of which versions can be built. */
export function versionedCache(client: Redis) {
  return redisSink({
    client,
    collection: products,
    key: 'product:{version}:{key}',
    versions: { pointer: 'product:version' },
  })
}
