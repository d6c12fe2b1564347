import { compareStamps, type Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { pause } from '../redis/persist.ts'
import type { AnySink, SinkRow } from '../sink/sink.ts'
import { differingKeys, type DigestProgress, type DigestSide } from './differing-keys.ts'
import { StepShare } from './step-share.ts'
import { isSameState, type Held } from './verdict.ts'

export interface CompareOptions {
  /** How long to wait for the one that is behind, in ms. Default 10,000. */
  readonly timeoutMs?: number
  /** Differences listed at most; all are counted. Default 1,000. */
  readonly listed?: number
  readonly signal?: AbortSignal
  /** Called now and then with the keys looked at so far, and the share of the work that is done; 0 while nobody knows how many there are. */
  readonly onProgress?: (checked: number, share: number) => void
}

/**
 * How two copies of one log differ in a key.
 *
 * - `content`: the same stamp, and not the same under it: one of them is corrupt
 * - `first-older`, `second-older`: one of them still had less when the time was over than the other had at the first look
 */
export type CopyVerdict = 'content' | 'first-older' | 'second-older'

export interface CopyDifference {
  readonly key: string
  readonly verdict: CopyVerdict
  /** What each of them holds; undefined where it does not know the key. */
  readonly first: Stamp | undefined
  readonly second: Stamp | undefined
}

export interface CompareReport {
  readonly equal: boolean
  readonly counts: Readonly<Record<CopyVerdict, number>>
  readonly differences: readonly CopyDifference[]
}

const rowsAtOnce = 500
const betweenLooksMs = 50

/**
 * Compares two sinks of one log with each other, without the log, while both are written: by digests where both have them.
 * Which of them is right only the log can say, and so can `verify` with each.
 *
 * @throws HeadwaterError SINK_CONTRACT where one can neither list nor read, or they hold different collections
 */
export async function compareSinks(
  first: AnySink,
  second: AnySink,
  { timeoutMs = 10_000, listed = 1_000, signal, onProgress }: CompareOptions = {},
): Promise<CompareReport> {
  for (const { capabilities, name } of [first, second]) {
    if (capabilities.list && capabilities.read) continue
    throw new HeadwaterError(
      'SINK_CONTRACT',
      `The ${name} cannot be compared: it declares neither list nor read.`,
    )
  }
  if (first.collection.name !== second.collection.name) {
    throw new HeadwaterError(
      'SINK_CONTRACT',
      `The ${first.name} and the ${second.name} hold different collections.`,
    )
  }
  const counts: Record<CopyVerdict, number> = { content: 0, 'first-older': 0, 'second-older': 0 }
  const differences: CopyDifference[] = []
  const endsAt = performance.now() + timeoutMs
  /** What the newer one held at the first look. */
  let open = new Map<string, Stamp | undefined>()
  let checked = 0
  const steps = new StepShare((share) => onProgress?.(checked, share))
  const progress = { rows: undefined, steps, summed: (rows: number) => void (checked = rows) }
  for (const key of await suspects(first, second, progress, signal)) open.set(key, undefined)
  steps.begin(1)
  while (open.size > 0) {
    const last = performance.now() >= endsAt
    const late = new Map<string, Stamp | undefined>()
    for (const keys of pagesOf([...open.keys()])) {
      signal?.throwIfAborted()
      const [ours, theirs] = [await first.read!(keys), await second.read!(keys)]
      for (const [index, key] of keys.entries()) {
        const [one, other] = [ours[index], theirs[index]]
        const verdict = verdictOf(one, other)
        if (!verdict) continue
        const older = verdict === 'first-older' ? one : other
        const newer = verdict === 'first-older' ? other : one
        const due = open.get(key) ?? newer!.stamp
        // Where it is written all the time, one of them is always ahead.
        const hasReached = older !== undefined && compareStamps(older.stamp, due) >= 0
        if (verdict !== 'content' && hasReached) continue
        if (verdict !== 'content' && !last) {
          late.set(key, due)
          continue
        }
        counts[verdict]++
        if (differences.length < listed) {
          differences.push({ key, verdict, first: one?.stamp, second: other?.stamp })
        }
      }
    }
    open = late
    if (open.size > 0) await pause(betweenLooksMs, signal)
  }
  steps.within(1)
  return { equal: Object.values(counts).every((count) => count === 0), counts, differences }
}

function verdictOf(one: Held | undefined, other: Held | undefined): CopyVerdict | undefined {
  const [isOne, isOther] = [one?.deleted === false, other?.deleted === false]
  if (!isOne && !isOther) return undefined
  if (!one) return 'first-older'
  if (!other) return 'second-older'
  const order = compareStamps(one.stamp, other.stamp)
  if (order === 0) return isSameState(one, other) ? undefined : 'content'
  return order < 0 ? 'first-older' : 'second-older'
}

async function suspects(
  first: AnySink,
  second: AnySink,
  progress: DigestProgress,
  signal: AbortSignal | undefined,
): Promise<Iterable<string>> {
  if (first.digest && second.digest)
    return (await differingKeys(first, sideOf(second), { signal, progress })).keys
  const keys = new Set<string>()
  let rowsOfFirst = 0
  for (const [one, other, stepsLeft] of [
    [first, second, 3],
    [second, first, 2],
  ] as const) {
    progress.steps.begin(stepsLeft)
    let listed = 0
    let rows: SinkRow[] = []
    const compare = async (): Promise<void> => {
      const held = await other.read!(rows.map(({ key }) => key))
      for (const [index, row] of rows.entries()) if (verdictOf(row, held[index])) keys.add(row.key)
      listed += rows.length
      progress.summed(Math.max(listed, rowsOfFirst))
      progress.steps.within(rowsOfFirst === 0 ? 0 : listed / rowsOfFirst)
      rows = []
    }
    for await (const row of one.list!(signal ? { signal } : {})) {
      rows.push(row)
      if (rows.length === rowsAtOnce) await compare()
    }
    if (rows.length > 0) await compare()
    rowsOfFirst ||= listed
  }
  return keys
}

/** A sink where the log's state stands otherwise. */
function sideOf(sink: AnySink): DigestSide {
  return {
    async roots() {
      const roots: bigint[][] = []
      for (const { partition, bucket, sum } of await sink.digest!({ depth: 0 })) {
        // A stranger's row, of no partition, is found by its key.
        if (partition < 0) continue
        while (roots.length <= partition) roots.push([])
        const buckets = roots[partition]!
        while (buckets.length <= bucket) buckets.push(0n)
        buckets[bucket] = sum
      }
      return roots
    },
    cells: async (query) => [...(await sink.digest!(query))],
    async list(query) {
      const rows = new Map<string, Held>()
      for await (const row of sink.listCells!(query)) rows.set(row.key, row)
      return rows
    },
  }
}

function* pagesOf(keys: readonly string[]): Generator<readonly string[]> {
  for (let from = 0; from < keys.length; from += rowsAtOnce) yield keys.slice(from, from + rowsAtOnce)
}
