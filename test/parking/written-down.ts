import { notes, type Note } from '@headwater/conformance'
import { applied, HeadwaterError, reject, type Sink } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import type { Redis } from 'ioredis'

/** A Redis sink that rejects `venom`, takes one change a call, and writes down under `<prefix>:order` what it took. */
export function writtenDown(client: Redis, prefix: string): Sink<Note> {
  const sink = redisSink({ client, collection: notes, key: `${prefix}:{key}`, prefix: `${prefix}:own` })
  return {
    ...sink,
    capabilities: {
      ...sink.capabilities,
      snapshot: false,
      concurrency: 1,
      batch: { changes: 1, bytes: 1_000_000 },
    },
    async open(opening) {
      const opened = await sink.open(opening)
      return {
        position: opened.position,
        advance: (position) => opened.advance(position),
        close: () => opened.close(),
        async apply(changes, position, applying) {
          const [change] = changes
          const { content } = change!.value as Note
          if (content === 'venom')
            return [reject(new HeadwaterError('SINK_REJECTED', 'It cannot hold that.'))]
          const outcomes = await opened.apply(changes, position, applying)
          if (outcomes[0] === applied)
            await client.rpush(`${prefix}:order`, `${change!.key} ${JSON.stringify(content)}`)
          return outcomes
        },
      }
    },
  }
}
