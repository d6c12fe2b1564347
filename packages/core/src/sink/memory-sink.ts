import { compareStamps } from '../change/stamp.ts'
import type { Change } from '../change/change.ts'
import type { Collection } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { cellId, lowOf, parentCell, type CellName, type DigestCell, type DigestQuery } from './digest.ts'
import { applied, stale, type Outcome } from './outcome.ts'
import type {
  Fence,
  OpenPartitionOptions,
  Replacement,
  ReplaceOutcome,
  Sink,
  SinkCapabilities,
  SinkPartition,
  SinkPosition,
  SinkValue,
} from './sink.ts'

export interface MemorySinkOptions<T> {
  readonly collection: Collection<T>
  /** The most that one `apply` is given. Default 1,000 changes and 1 MiB. */
  readonly batch?: SinkCapabilities['batch']
  /** Default 1. */
  readonly concurrency?: number
  /** The `target` of another memory sink, to write where that one writes. Default: a new, empty one. */
  readonly target?: MemoryTarget
}

export interface MemorySink<T> extends Sink<T> {
  /** Pass it to another memory sink, and both are as two processes at one server. */
  readonly target: MemoryTarget
  /** The live values by key: a copy, for looking at. */
  entries(): Map<string, T>
}

/** What a memory sink has in place of a server: rows, and the bookkeeping of each group's partitions. */
export class MemoryTarget {
  /** @internal */ readonly rows: Map<string, MemoryRow> = new Map()
  /** @internal */ readonly ledgers: Map<string, Ledger> = new Map()
  /** @internal */ lineage: string | undefined
}

interface MemoryRow extends SinkValue {
  readonly partition: number
  readonly bucket: number
}

interface Ledger {
  fence: Fence
  position: SinkPosition | undefined
}

/**
 * A sink in this process, for tests and as the adapter to read first: it keeps the whole contract. Every check
 * stands in the same synchronous stretch as its write; that is what a transaction or a script is elsewhere.
 */
export function memorySink<T>(options: MemorySinkOptions<T>): MemorySink<T> {
  const { collection, target = new MemoryTarget(), concurrency = 1 } = options
  const batch = options.batch ?? { changes: 1_000, bytes: 1_048_576 }
  const name = `memory of "${collection.name}"`
  return {
    name,
    collection,
    capabilities: {
      transactions: true,
      list: true,
      read: true,
      replace: true,
      digest: true,
      snapshot: true,
      concurrency,
      batch,
    },
    target,
    open: async (partition) => openPartition(name, target, partition),
    async *list() {
      for (const { key, deleted, stamp, hash } of target.rows.values()) yield { key, deleted, stamp, hash }
    },
    digest: async (query) => digestOf(target, query),
    async *listCells(query) {
      const cells = new Set(query.cells.map(cellId))
      for (const row of target.rows.values()) {
        const { key, deleted, stamp, hash } = row
        if (!deleted && cells.has(cellId(cellOf(row, query.depth)))) yield { key, deleted, stamp, hash }
      }
    },
    read: async (keys) =>
      keys.map((key) => {
        const held = target.rows.get(key)
        if (!held) return undefined
        const { deleted, stamp, hash, value } = held
        return { key, deleted, stamp, hash, value, mark: markOf(held) }
      }),
    replace: async (replacements) => replacements.map((replacement) => replaceRow(target, replacement)),
    close: async () => {},
    entries: () => new Map(liveEntries<T>(target)),
  }
}

function openPartition(name: string, target: MemoryTarget, options: OpenPartitionOptions): SinkPartition {
  const { lineage, group, partition, fence } = options
  target.lineage ??= lineage
  if (target.lineage !== lineage) {
    throw new HeadwaterError(
      'SINK_MISCONFIGURED',
      `The ${name} holds data of another log (${target.lineage}, not ${lineage}): use an empty one.`,
    )
  }
  const id = JSON.stringify([group, partition])
  const held = target.ledgers.get(id)
  if (held && !mayFollow(held.fence, fence)) throw fenced(name, partition, held.fence)
  const ledger = held ?? { fence, position: undefined }
  ledger.fence = fence
  target.ledgers.set(id, ledger)

  const checkFence = () => {
    if (!isSame(ledger.fence, fence)) throw fenced(name, partition, ledger.fence)
  }
  // Calls may overtake each other, so an older position can come late: it says less, and is dropped.
  const store = (position: SinkPosition) => {
    if (!ledger.position || compareStamps(position, ledger.position) > 0) ledger.position = position
  }
  return {
    position: ledger.position,
    async apply(changes, position) {
      checkFence()
      // Read before the first is written: one that cannot be read ends the call, and then nothing may have happened.
      const rows = changes.map(rowOf)
      const outcomes = rows.map((row) => applyRow(target, row))
      store(position)
      return outcomes
    },
    async advance(position) {
      checkFence()
      store(position)
    },
    async snapshot() {
      const cells = digestOf(target, { depth: 0 }).filter((cell) => cell.partition === partition)
      return { sums: Promise.resolve(new Map(cells.map(({ bucket, sum }) => [bucket, sum]))) }
    },
    close: async () => {},
  }
}

function applyRow(target: MemoryTarget, row: MemoryRow): Outcome {
  const held = target.rows.get(row.key)
  if (held && compareStamps(row.stamp, held.stamp) <= 0) return stale
  target.rows.set(row.key, row)
  return applied
}

function replaceRow(target: MemoryTarget, { key, observed, change }: Replacement): ReplaceOutcome {
  const held = target.rows.get(key)
  if ((held && markOf(held)) !== observed?.mark) return { kind: 'changed' }
  if (change) target.rows.set(key, rowOf(change))
  else target.rows.delete(key)
  return { kind: 'replaced' }
}

/** Everything there is to a row, as text. */
function markOf({ deleted, stamp, hash, value }: SinkValue): string {
  return JSON.stringify([deleted, stamp.epoch, stamp.sequence, String(hash), value])
}

function rowOf({ key, kind, stamp, hash, value, partition, bucket }: Change): MemoryRow {
  return { key, deleted: kind === 'delete', stamp, hash, value, partition, bucket }
}

function digestOf(target: MemoryTarget, { depth, within }: DigestQuery): DigestCell[] {
  const inside = within && new Set(within.map(cellId))
  const cells = new Map<string, DigestCell>()
  for (const row of target.rows.values()) {
    const cell = cellOf(row, depth)
    if (row.deleted || (inside && !inside.has(cellId(parentCell(cell, depth))))) continue
    const id = cellId(cell)
    const { count, sum } = cells.get(id) ?? { count: 0, sum: 0n }
    cells.set(id, { ...cell, count: count + 1, sum: BigInt.asUintN(64, sum + row.hash) })
  }
  return [...cells.values()]
}

function cellOf({ partition, bucket, hash }: MemoryRow, depth: number): CellName {
  return hash === 0n ? { partition: -1, bucket: -1, low: 0 } : { partition, bucket, low: lowOf(hash, depth) }
}

function* liveEntries<T>(target: MemoryTarget): Iterable<[string, T]> {
  for (const { key, deleted, value } of target.rows.values()) if (!deleted) yield [key, value as T]
}

/** Whether a partition that `held` was opened with may be opened with `fence`. */
function mayFollow(held: Fence, fence: Fence): boolean {
  return isSame(held, fence) || (fence.epoch - held.epoch || fence.token - held.token) > 0
}

function isSame(a: Fence, b: Fence): boolean {
  return a.epoch === b.epoch && a.token === b.token && a.owner === b.owner
}

function fenced(name: string, partition: number, { epoch, token, owner }: Fence): HeadwaterError {
  return new HeadwaterError(
    'SINK_FENCED',
    `Partition ${partition} of the ${name} was opened by ${owner} with token ${epoch}/${token}: leave it to that worker.`,
  )
}
