import type { Sink } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import type { Redis } from 'ioredis'
import { type Feature, features } from './feature.ts'
import type { ReplicaRow } from './oracle.ts'

/** Keeps each feature as JSON under a key such as `feature:api.AbortController.abort`. */
export function cacheSink(client: Redis, prefix: string): Sink<Feature> {
  return redisSink({
    client,
    collection: features,
    key: `${prefix}feature:{key}`,
    prefix: `${prefix}headwater:sink`,
  })
}

/** Everything that stands in the cache, read as any program would read it. */
export async function* readCache(client: Redis, prefix: string): AsyncGenerator<ReplicaRow> {
  const begin = `${prefix}feature:`
  const scan = client.scanStream({ match: `${begin}*`, count: 1_000 }) as AsyncIterable<string[]>
  for await (const keys of scan) {
    if (keys.length === 0) continue
    const texts = await client.mget(keys)
    for (const [index, key] of keys.entries()) {
      yield { path: key.slice(begin.length), value: JSON.parse(texts[index] ?? 'null') as unknown }
    }
  }
}
