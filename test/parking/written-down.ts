import { notes, type Note } from '@headwater/conformance'
import { applied, HeadwaterError, reject, type Sink } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import type { Redis } from 'ioredis'
import { intercepted } from '../support/intercepted-sink.ts'

/** A Redis sink that rejects `venom`, takes one change a call, and writes down under `<prefix>:order` what it took. */
export function writtenDown(client: Redis, prefix: string): Sink<Note> {
  const sink = redisSink({ client, collection: notes, key: `${prefix}:{key}`, prefix: `${prefix}:own` })
  const one = { snapshot: false, concurrency: 1, batch: { changes: 1, bytes: 1_000_000 } }
  return intercepted(
    sink,
    async (changes, pass) => {
      const [change] = changes
      const { content } = change!.value as Note
      if (content === 'venom') return [reject(new HeadwaterError('SINK_REJECTED', 'It cannot hold that.'))]
      const outcomes = await pass(changes)
      if (outcomes[0] === applied)
        await client.rpush(`${prefix}:order`, `${change!.key} ${JSON.stringify(content)}`)
      return outcomes
    },
    one,
  )
}
