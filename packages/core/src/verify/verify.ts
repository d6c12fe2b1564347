import { formatPosition, type Position } from '../change/position.ts'
import { compareStamps, type Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { groupNames } from '../group/group-status.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import { Log } from '../namespace/log.ts'
import {
  compareNode,
  isNode,
  type CompareNodeOptions,
  type LogState,
  type NodeComparison,
} from '../nodes/compare-node.ts'
import type { Node } from '../nodes/node.ts'
import { pause } from '../redis/persist.ts'
import type { AnySink, SinkRow } from '../sink/sink.ts'
import { groupOfSink } from '../worker/sink-groups.ts'
import { StateDigest } from '../state/state-digest.ts'
import { compareSinks, type CompareOptions, type CompareReport } from './compare-sinks.ts'
import { differingKeys, type DigestProgress } from './differing-keys.ts'
import { KeyJudge, type JudgedKey } from './key-judge.ts'
import { StepShare } from './step-share.ts'
import { judge, type Verdict } from './verdict.ts'

export interface VerifyOptions {
  /** The group that feeds the sink. Default: the one under which a worker of this process runs it, or the only one there is. */
  readonly group?: string
  /**
   * Whether hashes are computed from the values that the sink has stored, which finds edits behind its back and reads
   * every value. Default false: the sink's own bookkeeping is compared.
   */
  readonly deep?: boolean
  /**
   * Whether digests decide what is looked into, where the sink has them. Default true. They are sums, so two wrong hashes
   * can make up for each other: by chance once in 2^63, and at will for whoever forges them. False compares every row.
   */
  readonly digests?: boolean
  /** How long to wait for the sink to reach what the log had when this began, in ms. Default 10,000. */
  readonly timeoutMs?: number
  /** Differences listed at most; all are counted. Default 1,000. */
  readonly listed?: number
  readonly signal?: AbortSignal
  /**
   * Called now and then with the keys compared so far, and the share of the work that is done, at most 1. By digests nothing is
   * known beforehand of the work that differences make, so with none the second half takes no time.
   */
  readonly onProgress?: (checked: number, share: number) => void
}

export interface Difference {
  readonly key: string
  readonly verdict: Exclude<Verdict, 'equal' | 'parked'>
  /** What the log and the sink hold; undefined for a side that does not know the key. */
  readonly log: Stamp | undefined
  readonly sink: Stamp | undefined
}

export interface VerifyReport {
  /** `undecided`: nothing differs, but some keys were behind when the time was over, or the sink gets its first copy. */
  readonly result: 'equal' | 'different' | 'undecided'
  /** The group that was looked at, and whether stored values were: what `repair` needs to judge alike. */
  readonly group: string
  readonly deep: boolean
  /** Whether every key that was compared is equal, and none is behind. */
  readonly equal: boolean
  /** How far the group was in each partition when this began: what the copy holds was compared at least up to there. */
  readonly upTo: readonly Position[]
  /** Keys that were compared and live on at least one side. */
  readonly checked: number
  /** Differences by verdict. */
  readonly counts: Readonly<Record<Difference['verdict'], number>>
  readonly differences: readonly Difference[]
  /** Partitions in which the sink still gets its first copy: there nothing can be proven yet. */
  readonly copying: readonly number[]
  /** Keys that are parked, and so were not compared. */
  readonly parked: number
}

const rowsAtOnce = 500
const betweenLooksMs = 50

/**
 * Compares any two of: a log, a sink, a node.
 *
 * A sink with the log, while writes go on: digests first, where the sink has them, and the keys in which these differ. Nothing
 * is reported that may only be late: a key that differs is looked at again until the sink's group has passed the log's
 * change. Two sinks as `compareSinks` does, and a node with whatever else as `compareNode` does.
 *
 * @throws HeadwaterError SINK_CONTRACT where a sink can neither list nor read; GROUP_UNKNOWN
 */
export function verify(first: AnySink, second: AnySink, options?: CompareOptions): Promise<CompareReport>
export function verify<T>(
  first: Node,
  second: Node | AnySink | LogState<T>,
  options?: CompareNodeOptions<T>,
): Promise<NodeComparison>
export function verify<T>(
  first: AnySink | LogState<T>,
  second: Node,
  options?: CompareNodeOptions<T>,
): Promise<NodeComparison>
export function verify(log: Log, sink: AnySink, options?: VerifyOptions): Promise<VerifyReport>
export async function verify(
  first: Log | AnySink | Node | LogState,
  second: AnySink | Node | LogState,
  options: VerifyOptions & CompareNodeOptions = {},
): Promise<VerifyReport | CompareReport | NodeComparison> {
  if (first instanceof Log) return await verifySink(first, second as AnySink, options)
  if (isNode(first) || isNode(second)) return await compareNode(first, second, options)
  return await compareSinks(first as AnySink, second as AnySink, options)
}

async function verifySink(log: Log, sink: AnySink, options: VerifyOptions): Promise<VerifyReport> {
  const parts = logParts(log)
  checkComparable(parts, sink)
  const group = options.group ?? (await groupFeeding(parts, sink))
  return await new Verification(parts, sink, group, options).run()
}

/** As `verify`, of one partition; only by digests. */
export async function verifyPartition(
  parts: LogParts,
  sink: AnySink,
  group: string,
  partition: number,
  timeoutMs: number,
  listed = 0,
): Promise<VerifyReport> {
  return await new Verification(parts, sink, group, { timeoutMs, listed }, partition).run()
}

/** @throws HeadwaterError SINK_CONTRACT, STATE_REQUIRED, COLLECTION_UNKNOWN */
export function checkComparable(parts: LogParts, sink: AnySink): void {
  if (!sink.list || !sink.read) {
    throw new HeadwaterError(
      'SINK_CONTRACT',
      `The ${sink.name} cannot be verified: it declares neither list nor read.`,
    )
  }
  const { name, state } = sink.collection
  if (state === 'none') {
    throw new HeadwaterError(
      'STATE_REQUIRED',
      `The ${sink.name} cannot be verified: ${name} is defined with state "none", so the log keeps nothing to compare with.`,
    )
  }
  if (sink.takes === 'events') {
    throw new HeadwaterError(
      'STATE_REQUIRED',
      `The ${sink.name} cannot be verified: it takes events, and the log keeps the states of ${name}.`,
    )
  }
  if (parts.collections.get(sink.collection.name) !== sink.collection) {
    throw new HeadwaterError(
      'COLLECTION_UNKNOWN',
      `The sink holds ${sink.collection.name}, which was not given to connect().`,
    )
  }
}

/** @throws HeadwaterError GROUP_UNKNOWN */
export async function groupFeeding(parts: LogParts, sink: AnySink): Promise<string> {
  const running = groupOfSink(sink)
  if (running !== undefined) return running
  const names = await groupNames(parts.connection, parts.keys, parts.deadlineMs)
  if (names.length === 1) return names[0]!
  throw new HeadwaterError(
    'GROUP_UNKNOWN',
    `Which group feeds the sink? Name it in the option \`group\`; there are: ${names.join(', ') || 'none'}.`,
  )
}

class Verification {
  readonly #parts: LogParts
  readonly #sink: AnySink
  readonly #group: string
  readonly #options: VerifyOptions
  readonly #judge: KeyJudge
  /** The only partition that is looked at; undefined for all. */
  readonly #partition: number | undefined
  readonly #counts = { behind: 0, stale: 0, missing: 0, corrupt: 0, foreign: 0 }
  readonly #differences: Difference[] = []
  /** Keys whose first look differed: late, or different. */
  readonly #suspects = new Set<string>()
  #checked = 0
  #parked = 0
  /** Keys looked at from either side, and how many there are to look at; 0 where nobody wants to know. */
  #seen = 0
  #toSee = 0
  /** Where digests are compared, and somebody wants to know how far that is. */
  #steps: StepShare | undefined

  constructor(parts: LogParts, sink: AnySink, group: string, options: VerifyOptions, partition?: number) {
    this.#parts = parts
    this.#sink = sink
    this.#group = group
    this.#options = options
    this.#partition = partition
    this.#judge = new KeyJudge(parts, sink, group, options.deep ?? false)
  }

  async run(): Promise<VerifyReport> {
    const checkpoints = await this.#judge.checkpoints()
    const rows = await this.#findSuspects()
    await this.#judgeSuspects()
    this.#steps?.within(1)
    const { behind, stale, missing, corrupt, foreign } = this.#counts
    const copying = await this.#judge.copying()
    const different = stale + missing + corrupt + foreign > 0
    const result = different ? 'different' : behind > 0 || copying.length > 0 ? 'undecided' : 'equal'
    return {
      result,
      group: this.#group,
      deep: this.#options.deep ?? false,
      equal: result === 'equal',
      upTo: checkpoints.map((stamp, partition) => formatPosition(partition, stamp)),
      checked: rows === undefined ? this.#checked : rows + missing,
      counts: this.#counts,
      differences: this.#differences,
      copying,
      parked: this.#parked,
    }
  }

  /** By digests where the sink has them; row by row where it has none, and where its values are looked at. */
  async #findSuspects(): Promise<number | undefined> {
    const { digests = true, deep = false } = this.#options
    if (this.#sink.digest && digests && !deep) {
      const state = new StateDigest(this.#parts, this.#sink.collection)
      const { signal } = this.#options
      const progress = await this.#digestProgress()
      const found = await differingKeys(this.#sink, state, { signal, partition: this.#partition, progress })
      for (const key of found.keys) this.#suspects.add(key)
      return found.rows
    }
    if (this.#options.onProgress) this.#toSee = 2 * (await this.#judge.heads.countAll(this.#sink.collection))
    await this.#compareRows()
    await this.#compareState()
    return undefined
  }

  async #digestProgress(): Promise<DigestProgress | undefined> {
    const { onProgress } = this.#options
    if (!onProgress) return undefined
    let rows = 0
    this.#steps = new StepShare((share) => onProgress(rows, share))
    return {
      rows: await this.#judge.heads.countAll(this.#sink.collection),
      steps: this.#steps,
      summed: (summed) => void (rows = summed),
    }
  }

  #saw(keys: number): void {
    this.#seen += keys
    const share = this.#toSee === 0 ? 1 : Math.min(1, this.#seen / this.#toSee)
    this.#options.onProgress?.(this.#checked, share)
  }

  /** From the sink's side: what it holds, against what the log has of it. */
  async #compareRows(): Promise<void> {
    const { signal } = this.#options
    let rows: SinkRow[] = []
    const compare = async (): Promise<void> => {
      for (const [key, isEqual, isLive] of await this.#sortOut(rows)) {
        if (!isEqual) this.#suspects.add(key)
        else if (isLive) this.#checked++
      }
      this.#saw(rows.length)
      rows = []
    }
    for await (const row of this.#sink.list!(signal ? { signal } : {})) {
      rows.push(row)
      if (rows.length === rowsAtOnce) await compare()
    }
    if (rows.length > 0) await compare()
  }

  /** Which rows are equal beyond doubt. */
  async #sortOut(
    rows: readonly SinkRow[],
  ): Promise<(readonly [key: string, isEqual: boolean, isLive: boolean])[]> {
    const keys = rows.map(({ key }) => key)
    const values = this.#options.deep ? await this.#sink.read!(keys) : undefined
    const heads = await this.#judge.heads.read(this.#sink.collection, keys)
    return rows.map(({ key }, index) => {
      const value = values?.[index]
      const row = values ? value : rows[index]
      // Without a checkpoint everything newer in the log may be late, so this only sorts out what is equal.
      const isEqual = judge({ epoch: 0, sequence: 0 }, row, heads[index]) === 'equal'
      return [key, isEqual && (!value || this.#judge.isIntact(value, heads[index])), row?.deleted === false]
    })
  }

  /** From the log's side: what the sink does not have at all. */
  async #compareState(): Promise<void> {
    const { partitions, buckets } = this.#parts.metadata
    for (let partition = 0; partition < partitions; partition++) {
      for (let bucket = 0; bucket < buckets; bucket++) {
        for await (const page of this.#judge.heads.list(this.#sink.collection, partition, bucket)) {
          this.#options.signal?.throwIfAborted()
          const live = [...page].flatMap(([key, { deleted }]) => (deleted ? [] : [key]))
          for (let from = 0; from < live.length; from += rowsAtOnce) {
            const keys = live.slice(from, from + rowsAtOnce)
            const rows = await this.#sink.read!(keys)
            for (const [index, key] of keys.entries()) if (!rows[index]) this.#suspects.add(key)
            this.#saw(keys.length)
          }
        }
      }
    }
  }

  /** Looks at suspects until each is equal, or differs for good, or the time is over. */
  async #judgeSuspects(): Promise<void> {
    const { timeoutMs = 10_000, signal } = this.#options
    const endsAt = performance.now() + timeoutMs
    /** Late keys with what the log had of them at the first look. */
    let late = new Map<string, Stamp | undefined>([...this.#suspects].map((key) => [key, undefined]))
    let judgedOnce = 0
    this.#steps?.begin(1)
    while (late.size > 0) {
      const last = performance.now() >= endsAt
      const stillLate = new Map<string, Stamp | undefined>()
      const keys = [...late.keys()]
      for (let from = 0; from < keys.length; from += rowsAtOnce) {
        signal?.throwIfAborted()
        for (const judged of await this.#judge.judge(keys.slice(from, from + rowsAtOnce))) {
          const due = late.get(judged.key)
          const verdict = await this.#settle(judged, due)
          if (verdict === 'behind' && !last) stillLate.set(judged.key, due ?? judged.log!.stamp)
          else this.#note(judged, verdict)
        }
        judgedOnce = Math.min(this.#suspects.size, judgedOnce + rowsAtOnce)
        this.#steps?.within(judgedOnce / this.#suspects.size)
      }
      late = stillLate
      if (late.size > 0) await pause(betweenLooksMs, signal)
    }
  }

  /** A key that is written all the time is equal when it has reached what was due, and holds what was appended there. */
  async #settle(judged: JudgedKey, due: Stamp | undefined): Promise<Verdict> {
    const { verdict, sink } = judged
    if (verdict !== 'behind' || !sink || !due || compareStamps(sink.stamp, due) < 0) return verdict
    return (await this.#judge.judgeByOrigin({ ...judged, sink })) ?? verdict
  }

  #note({ key, log, sink }: JudgedKey, verdict: Verdict): void {
    if (verdict === 'parked') {
      this.#parked++
      return
    }
    if (verdict === 'equal') {
      if (log?.deleted === false) this.#checked++
      return
    }
    this.#checked++
    this.#counts[verdict]++
    if (this.#differences.length < (this.#options.listed ?? 1_000)) {
      this.#differences.push({ key, verdict, log: log?.stamp, sink: sink?.stamp })
    }
  }
}
