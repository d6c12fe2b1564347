import {
  purgeIdempotencyRecords,
  purgeProducers,
  purgeSinkTombstones,
  purgeTombstones,
  type AnySink,
  type PurgeProgress,
} from '@headwater/core'
import { z } from 'zod'
import { task, type Task } from './task.ts'

/** Lets go of old idempotency records, silent producers, and tombstones beside the log and in sinks. */
export const purge: Task = task({
  settings: z.strictObject({ producersOlderThanMs: z.int().min(3_600_000).optional() }),
  async run({ log, sinks }, { producersOlderThanMs }, { signal, progress }) {
    const purged = [...sinks].filter(([, sink]) => keepsTombstones(sink))
    const steps = 3 + purged.length
    const step = (at: number) => ({
      signal,
      onProgress: ({ share }: PurgeProgress) => progress((at + share) / steps),
    })
    const idempotencyRecords = await purgeIdempotencyRecords(log, step(0))
    const producers = await purgeProducers(log, {
      ...step(1),
      ...(producersOlderThanMs !== undefined && { olderThanMs: producersOlderThanMs }),
    })
    const tombstones = await purgeTombstones(log, step(2))
    const sinkTombstones: Record<string, number> = {}
    for (const [at, [group, sink]] of purged.entries()) {
      sinkTombstones[group] = await purgeSinkTombstones(log, sink, {
        signal,
        onProgress: (_found, _removed, share) => progress((3 + at + share) / steps),
      })
    }
    return { idempotencyRecords, producers, tombstones, sinkTombstones }
  },
})

/** Whether there are tombstones that it can let go of: a sink of events counts on its own. */
function keepsTombstones({ takes, capabilities: { list, read, replace = false } }: AnySink): boolean {
  return takes !== 'events' && list && read && replace
}
