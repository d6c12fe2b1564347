import {
  applied,
  HeadwaterError,
  reject,
  stale,
  type Change,
  type OpenPartitionOptions,
  type Outcome,
  type PartitionSnapshot,
  type SinkPartition,
  type SinkPosition,
} from '@headwater/core'
import type { ApplyAnswer, ApplyStatement, WrittenChange } from './apply-statement.ts'
import { advancePartition, fenced, rolledBack, type OpenedPartition } from './open-partition.ts'
import { inSnapshot, type PostgresClient } from './postgres-client.ts'
import { sumRows } from './postgres-digest.ts'
import { isAboutRows, postgresError } from './postgres-error.ts'
import { checkTarget, type Target } from './postgres-schema.ts'
import type { RowLayout } from './row-layout.ts'

export interface PostgresPartitionOptions {
  readonly sinkName: string
  readonly target: Target
  readonly layout: RowLayout
  readonly statement: ApplyStatement
  /** Runs something on a connection, with the limits and the errors of the sink. */
  readonly call: <R>(work: (client: PostgresClient) => Promise<R>, signal?: AbortSignal) => Promise<R>
  /** What it was opened with, and what stood there. */
  readonly place: OpenPartitionOptions
  readonly opened: OpenedPartition
}

/** One opened partition. Its fence stands in the database, so no connection is held between two calls. */
export class PostgresPartition implements SinkPartition {
  readonly position: SinkPosition | undefined
  readonly #options: PostgresPartitionOptions
  /** The one that was confirmed last. When Postgres has an older one, it has lost batches that the worker counts on. */
  #turn: number

  constructor(options: PostgresPartitionOptions) {
    this.position = options.opened.position
    this.#options = options
    this.#turn = options.opened.turn
  }

  async apply(
    changes: readonly Change[],
    position: SinkPosition,
    { signal }: { signal: AbortSignal },
  ): Promise<readonly Outcome[]> {
    const { sinkName, place, call } = this.#options
    const { writes, misfits } = this.#write(changes)
    let answer: ApplyAnswer
    do {
      answer = await call((client) => this.#applyOnce(client, writes, position), signal)
    } while (answer.kind === 'overtaken')
    if (answer.kind === 'fenced') throw fenced(sinkName, place.partition)
    if (answer.kind === 'rolled back') throw rolledBack(sinkName, place.partition)
    this.#turn = answer.turn
    const staleKeys = answer.stale
    return changes.map((change) => misfits.get(change) ?? (staleKeys.has(change.key) ? stale : applied))
  }

  async advance(position: SinkPosition): Promise<void> {
    const { sinkName, target, place, call } = this.#options
    await call((client) => advancePartition(client, target, sinkName, place, position, this.#turn))
  }

  /** Of a snapshot of the database: resolves when that is taken. The rows are added up afterwards, and nobody waits for it. */
  async snapshot(): Promise<PartitionSnapshot> {
    const { target, place, call } = this.#options
    let isTaken!: () => void
    const taken = new Promise<void>((resolve) => (isTaken = resolve))
    const sums = call((client) =>
      inSnapshot(client, () => {
        isTaken()
        return sumRows(client, target, place.partition)
      }),
    )
    await Promise.race([taken, sums])
    return { sums }
  }

  async close(): Promise<void> {}

  #write(changes: readonly Change[]): { writes: WrittenChange[]; misfits: Map<Change, Outcome> } {
    const writes: WrittenChange[] = []
    const misfits = new Map<Change, Outcome>()
    for (const change of changes) {
      const row = change.kind === 'delete' ? noCells : this.#options.layout.write(change)
      if (row.kind === 'fits') {
        writes.push({ change, cells: row.cells })
      } else {
        const message = `A change does not fit the ${this.#options.sinkName}: ${row.reason}.`
        misfits.set(change, reject(new HeadwaterError('SINK_REJECTED', message)))
      }
    }
    return { writes, misfits }
  }

  async #applyOnce(
    client: PostgresClient,
    writes: readonly WrittenChange[],
    position: SinkPosition,
  ): Promise<ApplyAnswer> {
    const { sinkName, target, statement, place } = this.#options
    try {
      return await statement.run(client, place, writes, position, this.#turn)
    } catch (error) {
      if (!isAboutRows(error)) throw error
      // The row may be in order, and the table changed under us: then all of them would be rejected, one by one.
      await checkTarget(client, target)
      throw postgresError(sinkName, error, 'SINK_REJECTED')
    }
  }
}

const noCells = { kind: 'fits', cells: [] } as const
