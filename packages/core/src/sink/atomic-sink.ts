import type { Change } from '../change/change.ts'
import { readablePayload } from '../change/readable-payload.ts'
import { parseSortableStamp, sortableStamp } from '../change/stamp.ts'
import type { Collection } from '../collection/collection.ts'
import { applied, stale } from './outcome.ts'
import type { Sink, SinkCapabilities, SinkPartition, SinkPosition, SinkRow, SinkValue } from './sink.ts'

/**
 * What an adapter does itself where its target can do several reads and writes in one atomic step: a script, a transaction.
 * All that it stores are texts, and one rule orders them: of two fences, positions or rows, the newer one is that whose
 * first word sorts after the other's; nothing sorts before everything. `open` and `write` throw `SINK_FENCED` and
 * `SINK_MISCONFIGURED` as `Sink` says.
 */
export interface AtomicTarget {
  /** The technology and target, for messages and logs. Never a secret. */
  readonly name: string
  /** What one `write` is given at most. Default 500 changes and 1,000,000 bytes. */
  readonly batch?: SinkCapabilities['batch']
  /**
   * Stores the fence of a place, unless the one that is there is newer, or of the same first word and another text. Refuses a
   * lineage other than the first one that the target was opened with.
   * @returns the position of the place; nothing or '' where there is none yet
   */
  open(opening: AtomicOpening): Promise<string | null | undefined>
  /**
   * Only where the fence of the place is still this very text: puts in each row that is newer than the one of its key, stores
   * the position where it is newer, and else nothing.
   * @returns the keys whose rows were put in
   */
  write(writing: AtomicWriting): Promise<Iterable<string>>
  /** Key and row of every key that has one. */
  list(options: { readonly signal?: AbortSignal }): AsyncIterable<readonly [key: string, row: string]>
  /** What is stored of each key, in their order; never asked for none. */
  read(keys: readonly string[]): Promise<readonly AtomicHolding[]>
}

export interface AtomicOpening {
  readonly lineage: string
  /** Names a partition of a group. */
  readonly place: string
  readonly fence: string
}

export interface AtomicWriting extends AtomicOpening {
  readonly position: string
  /** At most one of each key; none where only the position is new. */
  readonly rows: readonly AtomicRow[]
}

export interface AtomicRow {
  readonly key: string
  /** Stays when the value goes: it is the tombstone. */
  readonly row: string
  /** JSON; '' where the key is deleted. */
  readonly value: string
}

export interface AtomicHolding {
  /** Nothing where the key never had one. */
  readonly row: string | null | undefined
  /** Nothing where the key is deleted. */
  readonly value: string | null | undefined
}

/**
 * Makes a sink of a target that can do one atomic step. It keeps values as JSON and can be verified, but is neither
 * repaired nor rebuilt in place: for that, implement `Sink`.
 */
export function atomicSink<T>(collection: Collection<T>, target: AtomicTarget): Sink<T> {
  const { name, batch = { changes: 500, bytes: 1_000_000 } } = target
  return {
    name,
    collection,
    capabilities: { transactions: true, list: true, read: true, concurrency: 1, batch },
    async open({ lineage, group, partition, fence: { epoch, token, owner } }) {
      const fence = `${sortableStamp({ epoch, sequence: token })} ${owner}`
      const opening = { lineage, place: `${partition} ${group}`, fence }
      return openedPartition(target, opening, await target.open(opening))
    },
    async *list(options = {}) {
      for await (const [key, row] of target.list(options)) yield rowOf(key, row)
    },
    async read(keys) {
      if (keys.length === 0) return []
      const held = await target.read(keys)
      return held.map(({ row, value }, index) => (row ? valueOf(rowOf(keys[index]!, row), value) : undefined))
    },
    close: async () => {}, // Clients are the caller's.
  }
}

function openedPartition(
  target: AtomicTarget,
  opening: AtomicOpening,
  held: string | null | undefined,
): SinkPartition {
  return {
    position: held ? { ...parseSortableStamp(held), branch: secondWord(held) } : undefined,
    async apply(changes, position) {
      const rows = changes.map((change) => ({
        key: change.key,
        row: rowText(change),
        value: readablePayload(change),
      }))
      const taken = new Set(await target.write({ ...opening, position: positionText(position), rows }))
      return changes.map(({ key }) => (taken.has(key) ? applied : stale))
    },
    async advance(position) {
      await target.write({ ...opening, position: positionText(position), rows: [] })
    },
    close: async () => {},
  }
}

function positionText(position: SinkPosition): string {
  return `${sortableStamp(position)} ${position.branch}`
}

function rowText({ stamp, hash }: Change): string {
  return `${sortableStamp(stamp)} ${hash}`
}

function rowOf(key: string, row: string): SinkRow {
  const hash = BigInt(secondWord(row))
  return { key, deleted: hash === 0n, stamp: parseSortableStamp(row), hash }
}

function valueOf(row: SinkRow, value: string | null | undefined): SinkValue {
  return { ...row, value: value ? (JSON.parse(value) as unknown) : undefined }
}

function secondWord(text: string): string {
  return text.slice(text.indexOf(' ') + 1)
}
