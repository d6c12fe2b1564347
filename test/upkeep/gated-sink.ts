import { setTimeout as pause } from 'node:timers/promises'
import { notes, type Note } from '@headwater/conformance'
import { memorySink, type Sink, type SinkRow } from '@headwater/core'
import type { Redis } from 'ioredis'

/** A run of `verify`, as its sink saw it: written down on the server, so that runs of all processes stand in one order. */
export interface Mark {
  readonly what: 'begins' | 'ends'
  readonly process: string
}

/** How often is looked whether the gate is open: whoever opens it is another process. */
const everyMs = 20

/** An empty sink that is verified for as long as its gate on the server is shut, and notes when. */
export function gatedSink(client: Redis, name: string, process: string): Sink<Note> {
  const memory = memorySink({ collection: notes })
  const mark = (what: Mark['what']) => client.rpush(`${name}:marks`, JSON.stringify({ what, process }))
  return {
    name: memory.name,
    collection: notes,
    capabilities: { ...memory.capabilities, replace: false, digest: false, snapshot: false },
    open: memory.open.bind(memory),
    read: memory.read!.bind(memory),
    close: memory.close.bind(memory),
    async *list({ signal } = {}): AsyncGenerator<SinkRow> {
      await mark('begins')
      try {
        while ((await client.exists(`${name}:open`)) === 0) {
          signal?.throwIfAborted()
          await pause(everyMs, undefined, { signal })
        }
        yield* memory.list!()
      } finally {
        await mark('ends')
      }
    },
  }
}

export async function marksOf(client: Redis, name: string): Promise<Mark[]> {
  return (await client.lrange(`${name}:marks`, 0, -1)).map((mark) => JSON.parse(mark) as Mark)
}

export async function openGate(client: Redis, name: string): Promise<void> {
  await client.set(`${name}:open`, '')
}

/** How many runs were active at once, at most. */
export function activeAtMost(marks: readonly Mark[]): number {
  let active = 0
  return Math.max(0, ...marks.map(({ what }) => (active += what === 'begins' ? 1 : -1)))
}
