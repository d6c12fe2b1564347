import { randomUUID } from 'node:crypto'
import { changeBuilder, notes, type ChangeBuilder, type Note } from '@headwater/conformance'
import type { Change, Outcome, Sink, SinkPartition, SinkPosition } from '@headwater/core'
import { redisSink, type RedisClient, type RedisSinkOptions } from '@headwater/redis'

/** A Redis replica of notes under names of its own, and the log that fills it. */
export interface Replica {
  readonly sink: Sink<Note>
  readonly log: ChangeBuilder<Note>
  /** The data key of a note, where the template is the default one. */
  readonly dataKey: (id: string) => string
  /** The bookkeeping hashes are `<prefix>:progress` and `<prefix>:rows`. */
  readonly prefix: string
  /** Another process at the same replica. */
  readonly another: (options?: Partial<RedisSinkOptions<Note>>) => Sink<Note>
  /** Takes the partition, with a greater token each time. */
  readonly open: (options?: { sink?: Sink; partition?: number }) => Promise<SinkPartition>
}

export function replica(client: RedisClient, options: Partial<RedisSinkOptions<Note>> = {}): Replica {
  const name = randomUUID()
  const prefix = `sink:${name}`
  const another = (others: Partial<RedisSinkOptions<Note>> = {}) =>
    redisSink({ client, collection: notes, key: `${name}:{key}`, prefix, ...options, ...others })
  const sink = another()
  let token = 0
  return {
    sink,
    log: changeBuilder({ collection: notes }),
    dataKey: (id) => `${name}:${id}`,
    prefix,
    another,
    async open({ sink: opener = sink, partition = 0 } = {}) {
      token++
      const fence = { epoch: 1, token, owner: `worker-${token}` }
      return opener.open({ lineage: 'log-1', group: 'copy', partition, fence })
    },
  }
}

const beginning: SinkPosition = { epoch: 0, sequence: 0, branch: '' }

export function apply(
  partition: SinkPartition,
  changes: readonly Change[],
  position: SinkPosition = beginning,
): Promise<readonly Outcome[]> {
  return partition.apply(changes, position, { signal: new AbortController().signal })
}

/** What became of each change, with the code of the error where there is one. */
export function words(outcomes: readonly Outcome[]): string[] {
  return outcomes.map((outcome) =>
    'error' in outcome ? `${outcome.kind} ${outcome.error.code}` : outcome.kind,
  )
}
