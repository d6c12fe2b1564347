import {
  cellDepthMax,
  cellId,
  type CellName,
  type CellsQuery,
  type DigestCell,
  type DigestQuery,
} from '../sink/digest.ts'
import type { AnySink, SinkRow } from '../sink/sink.ts'
import { isSameState, type Held } from './verdict.ts'
import { compareStamps } from '../change/stamp.ts'
import type { StepShare } from './step-share.ts'

/** Cells of so few rows are listed instead of split: a split costs about as much as listing so many. */
const rowsWorthListing = 8

/** What a comparison of digests has found. */
export interface DifferingKeys {
  readonly keys: ReadonlySet<string>
  /** Live rows of the sink when it began. */
  readonly rows: number
}

/** What a sink is compared with: the log's state, or another sink. */
export interface DigestSide {
  /** The sum of each bucket, partition by partition. */
  roots(): Promise<readonly (readonly bigint[])[]>
  cells(query: DigestQuery): Promise<DigestCell[]>
  list(query: CellsQuery): Promise<ReadonlyMap<string, Held>>
}

export interface DifferingKeysOptions {
  readonly signal?: AbortSignal | undefined
  /** Look into this partition only. Default: all. */
  readonly partition?: number | undefined
  readonly progress?: DigestProgress | undefined
}

/** Who wants to know how far it is. */
export interface DigestProgress {
  /** Rows that the sink has, about; undefined where nobody knows. */
  readonly rows: number | undefined
  readonly steps: StepShare
  /** Told how many rows were looked at, about, while that is done for the first time. */
  readonly summed: (rows: number) => void
}

/**
 * The keys in which a sink seems to differ from the log, found from the digests of both: cells that are equal are not
 * looked into, others are split by the last bits of the content hashes until few rows remain. So equal copies cost their
 * cells, and a difference costs some kilobytes, whatever the number of keys.
 */
export async function differingKeys(
  sink: AnySink,
  state: DigestSide,
  { signal, partition, progress }: DifferingKeysOptions = {},
): Promise<DifferingKeys> {
  // The sink first: what is applied in between then shows as a key to look at, as it would the other way round.
  // Mostly there is nothing to split.
  progress?.steps.begin(2)
  const roots = await sink.digest!({ depth: 0, onRows: passOf(progress, progress?.summed) })
  const rows = roots.reduce((sum, { count }) => sum + count, 0)
  progress?.summed(rows)
  const keys = new Set<string>()
  let open = differingRoots(roots, await state.roots())
  if (partition !== undefined) open = open.filter((cell) => cell.partition === partition)
  for (let depth = 0; open.length > 0; depth++) {
    signal?.throwIfAborted()
    // The last step is the caller's: what it does with the keys.
    progress?.steps.begin(splitsLeft(open) + 2)
    const isSmall = ({ count, partition }: DigestCell): boolean =>
      partition < 0 || depth === cellDepthMax || (depth > 0 && count <= rowsWorthListing)
    await compareRows(sink, state, { depth, cells: open.filter(isSmall) }, keys)
    const within = open.filter((cell) => !isSmall(cell))
    if (within.length === 0) break
    const query = { depth: depth + 1, within: within.map(nameOf) }
    const ours = await sink.digest!({ ...query, onRows: passOf(progress) })
    const theirs = await state.cells(query)
    open = differingCells(ours, theirs)
  }
  return { keys, rows }
}

/** Listens to one pass over the rows. */
function passOf(
  progress: DigestProgress | undefined,
  summed: (rows: number) => void = () => {},
): DigestQuery['onRows'] {
  if (!progress) return undefined
  const { rows, steps } = progress
  let seen = 0
  return (more) => {
    seen = Math.min(rows ?? Number.POSITIVE_INFINITY, seen + more)
    summed(seen)
    steps.within(rows ? seen / rows : 0)
  }
}

/** How often cells have to be split until all of them are worth listing, if their rows spread evenly. */
function splitsLeft(cells: readonly DigestCell[]): number {
  const most = cells.reduce((most, { count }) => Math.max(most, count), 0)
  return Math.max(0, Math.ceil(Math.log(most / rowsWorthListing) / Math.log(16)))
}

function differingRoots(roots: readonly DigestCell[], sums: readonly (readonly bigint[])[]): DigestCell[] {
  const held = new Map(roots.map((cell) => [cellId(cell), cell]))
  const differing = roots.filter(({ partition, bucket }) => sums[partition]?.[bucket] === undefined)
  for (const [partition, buckets] of sums.entries()) {
    for (const [bucket, sum] of buckets.entries()) {
      const name = { partition, bucket, low: 0 }
      const cell = held.get(cellId(name)) ?? { ...name, count: 0, sum: 0n }
      if (cell.sum !== sum) differing.push(cell)
    }
  }
  return differing
}

/** With the greater count of the two sides. */
function differingCells(ours: readonly DigestCell[], theirs: readonly DigestCell[]): DigestCell[] {
  const other = new Map(theirs.map((cell) => [cellId(cell), cell]))
  const differing: DigestCell[] = []
  for (const cell of ours) {
    const id = cellId(cell)
    const match = other.get(id)
    other.delete(id)
    if (match?.sum === cell.sum && match.count === cell.count) continue
    differing.push({ ...cell, count: Math.max(cell.count, match?.count ?? 0) })
  }
  return [...differing, ...other.values()]
}

async function compareRows(
  sink: AnySink,
  state: DigestSide,
  { depth, cells }: { readonly depth: number; readonly cells: readonly DigestCell[] },
  keys: Set<string>,
): Promise<void> {
  if (cells.length === 0) return
  const query = { depth, cells: cells.map(nameOf) }
  const rows = new Map<string, SinkRow>()
  for await (const row of sink.listCells!(query)) rows.set(row.key, row)
  const heads = await state.list(query)
  for (const [key, row] of rows) if (!isSame(row, heads.get(key))) keys.add(key)
  for (const key of heads.keys()) if (!rows.has(key)) keys.add(key)
}

function isSame(row: SinkRow, head: Held | undefined): boolean {
  return head !== undefined && compareStamps(row.stamp, head.stamp) === 0 && isSameState(row, head)
}

function nameOf({ partition, bucket, low }: DigestCell): CellName {
  return { partition, bucket, low }
}
