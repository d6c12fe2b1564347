import { randomUUID } from 'node:crypto'
import { changeBuilder, type ChangeBuilder } from '@headwater/conformance'
import {
  guardSink,
  type Change,
  type CollectionOf,
  type Outcome,
  type Sink,
  type SinkPartition,
  type SinkPosition,
  type SinkValue,
} from '@headwater/core'
import { postgresSink, type PostgresSinkOptions } from '@headwater/postgres'
import type { Pool } from 'pg'

type Options<T> = Omit<Partial<PostgresSinkOptions<T>>, 'collection' | 'pool'>

/** A Postgres table of its own that follows a log. Guarded, as a worker has it. */
export interface Replica<T> {
  readonly sink: Sink<T>
  readonly table: string
  readonly log: ChangeBuilder<T>
  /** Another process at the same table. */
  readonly another: (options?: Options<T> & { readonly pool?: PostgresSinkOptions<T>['pool'] }) => Sink<T>
  /** Takes the partition, with a greater token each time. */
  readonly open: (options?: OpenOptions) => Promise<SinkPartition>
  /** What the adapter finds of this key. */
  readonly look: (key: string) => Promise<SinkValue | undefined>
}

interface OpenOptions {
  readonly sink?: Sink
  readonly partition?: number
  readonly group?: string
}

export function replica<T>(pool: Pool, collection: CollectionOf<T>, options: Options<T> = {}): Replica<T> {
  const { table = `table_${randomUUID()}` } = options
  const another: Replica<T>['another'] = (others = {}) =>
    guardSink(postgresSink({ pool, collection, ...options, ...others, table }))
  const sink = another()
  let token = 0
  return {
    sink,
    table,
    log: changeBuilder<T>({ collection }),
    another,
    async open({ sink: opener = sink, partition = 0, group = 'copy' } = {}) {
      token++
      const fence = { epoch: 1, token, owner: `worker-${token}` }
      return opener.open({ lineage: 'log-1', group, partition, fence })
    },
    look: async (key) => (await sink.read?.([key]))?.[0],
  }
}

/** The same, prepared and opened. */
export async function openReplica<T>(
  pool: Pool,
  collection: CollectionOf<T>,
  options: Options<T> = {},
): Promise<Replica<T> & { readonly partition: SinkPartition }> {
  const made = replica(pool, collection, options)
  await made.sink.prepare?.()
  return { ...made, partition: await made.open() }
}

const beginning: SinkPosition = { epoch: 0, sequence: 0, branch: '' }

export function apply(
  partition: SinkPartition,
  changes: readonly Change[],
  { position = beginning, signal = new AbortController().signal } = {},
): Promise<readonly Outcome[]> {
  return partition.apply(changes, position, { signal })
}

/** What became of each change, with the code of the error where there is one. */
export function words(outcomes: readonly Outcome[]): string[] {
  return outcomes.map((outcome) =>
    'error' in outcome ? `${outcome.kind} ${outcome.error.code}` : outcome.kind,
  )
}

/** The SQL that the message of an error ends with, to see whether it mends what it says. */
export function remedyOf(error: unknown): string {
  const sql = error instanceof Error ? /(?:run|Run|it): (.*;)/s.exec(error.message)?.[1] : undefined
  if (sql === undefined) throw new Error('The error names no SQL to run.', { cause: error })
  return sql
}

export async function errorOf(call: Promise<unknown> | undefined): Promise<Error> {
  try {
    await call
  } catch (error) {
    if (error instanceof Error) return error
  }
  throw new Error('The call was expected to fail.')
}
