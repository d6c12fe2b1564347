import type { Stamp } from '../change/stamp.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { parseCheckpoint } from '../group/checkpoint.ts'
import { groupNames } from '../group/group-status.ts'
import { locate } from '../append/prepare.ts'
import { logParts, type Log, type LogParts } from '../namespace/log.ts'
import { parkedField } from '../parking/parked-key.ts'
import { pause, persist } from '../redis/persist.ts'
import type { AnySink, SinkRow } from '../sink/sink.ts'
import { StateHeads } from '../state/state-heads.ts'
import { groupOfSink } from '../worker/sink-groups.ts'
import { judge, type Verdict } from './verdict.ts'

export interface VerifyOptions {
  /** The group that feeds the sink. Default: the one under which a worker of this process runs it, or the only one there is. */
  readonly group?: string
  /** How long to wait for the sink to reach what the log had when this began, in ms. Default 10,000. */
  readonly timeoutMs?: number
  /** Differences listed at most; all are counted. Default 1,000. */
  readonly listed?: number
  readonly signal?: AbortSignal
  /** Called now and then with the keys compared so far. */
  readonly onProgress?: (checked: number) => void
}

export interface Difference {
  readonly key: string
  readonly verdict: Exclude<Verdict, 'equal' | 'parked'>
  /** What the log and the sink hold; undefined for a side that does not know the key. */
  readonly log: Stamp | undefined
  readonly sink: Stamp | undefined
}

export interface VerifyReport {
  /** Whether every key that was compared is equal, and none is behind. */
  readonly equal: boolean
  /** Live keys that were compared. */
  readonly checked: number
  /** Differences by verdict. */
  readonly counts: Readonly<Record<Difference['verdict'], number>>
  readonly differences: readonly Difference[]
  /** Keys that are parked, and so were not compared. */
  readonly parked: number
}

const rowsAtOnce = 500
const betweenLooksMs = 50

/**
 * Compares a sink with the state that the log keeps of its collection, key by key, while writes go on. Nothing is reported
 * that may only be late: a key that differs is looked at again until the sink's group has passed the log's change.
 *
 * @throws HeadwaterError SINK_CONTRACT where the sink can neither list nor read; GROUP_UNKNOWN
 */
export async function verify(log: Log, sink: AnySink, options: VerifyOptions = {}): Promise<VerifyReport> {
  const parts = logParts(log)
  if (!sink.list || !sink.read) {
    throw new HeadwaterError(
      'SINK_CONTRACT',
      `The ${sink.name} cannot be verified: it declares neither list nor read.`,
    )
  }
  const known = parts.collections.get(sink.collection.name)
  if (known !== sink.collection) {
    throw new HeadwaterError(
      'COLLECTION_UNKNOWN',
      `The sink holds ${sink.collection.name}, which was not given to connect().`,
    )
  }
  const group = options.group ?? groupOfSink(sink) ?? (await onlyGroup(parts))
  return await new Verification(parts, sink, group, options).run()
}

async function onlyGroup(parts: LogParts): Promise<string> {
  const names = await groupNames(parts.connection, parts.keys, parts.deadlineMs)
  if (names.length === 1) return names[0]!
  throw new HeadwaterError(
    'GROUP_UNKNOWN',
    `Which group feeds the sink? Name it in the options of verify; there are: ${names.join(', ') || 'none'}.`,
  )
}

class Verification {
  readonly #parts: LogParts
  readonly #sink: AnySink
  readonly #group: string
  readonly #options: VerifyOptions
  readonly #heads: StateHeads
  readonly #router
  readonly #counts = { behind: 0, stale: 0, missing: 0, corrupt: 0, foreign: 0 }
  readonly #differences: Difference[] = []
  /** Keys whose first look differed: late, or different. */
  readonly #suspects = new Set<string>()
  #checked = 0
  #parked = 0

  constructor(parts: LogParts, sink: AnySink, group: string, options: VerifyOptions) {
    this.#parts = parts
    this.#sink = sink
    this.#group = group
    this.#options = options
    this.#router = {
      hasher: parts.hasher,
      partitions: parts.metadata.partitions,
      buckets: parts.metadata.buckets,
    }
    this.#heads = new StateHeads(parts.connection, parts.keys, this.#router, parts.deadlineMs)
  }

  async run(): Promise<VerifyReport> {
    await this.#compareRows()
    await this.#compareState()
    await this.#judgeSuspects()
    const { behind, stale, missing, corrupt, foreign } = this.#counts
    return {
      equal: behind + stale + missing + corrupt + foreign === 0,
      checked: this.#checked,
      counts: this.#counts,
      differences: this.#differences,
      parked: this.#parked,
    }
  }

  /** From the sink's side: what it holds, against what the log has of it. */
  async #compareRows(): Promise<void> {
    const { signal, onProgress } = this.#options
    let rows: SinkRow[] = []
    const compare = async (): Promise<void> => {
      const heads = await this.#heads.read(
        this.#collection,
        rows.map(({ key }) => key),
      )
      for (const [index, row] of rows.entries()) {
        // Without a checkpoint everything newer in the log may be late, so this only sorts out what is equal.
        if (judge({ epoch: 0, sequence: 0 }, row, heads[index]) !== 'equal') this.#suspects.add(row.key)
        else if (!row.deleted) this.#checked++
      }
      rows = []
      onProgress?.(this.#checked)
    }
    for await (const row of this.#sink.list!(signal ? { signal } : {})) {
      rows.push(row)
      if (rows.length === rowsAtOnce) await compare()
    }
    if (rows.length > 0) await compare()
  }

  /** From the log's side: what the sink does not have at all. */
  async #compareState(): Promise<void> {
    const { partitions, buckets } = this.#parts.metadata
    for (let partition = 0; partition < partitions; partition++) {
      for (let bucket = 0; bucket < buckets; bucket++) {
        for await (const page of this.#heads.list(this.#collection, partition, bucket)) {
          this.#options.signal?.throwIfAborted()
          const live = [...page].flatMap(([key, { deleted }]) => (deleted ? [] : [key]))
          for (let from = 0; from < live.length; from += rowsAtOnce) {
            const keys = live.slice(from, from + rowsAtOnce)
            const rows = await this.#sink.read!(keys)
            for (const [index, key] of keys.entries()) if (!rows[index]) this.#suspects.add(key)
          }
        }
      }
    }
  }

  async #judgeSuspects(): Promise<void> {
    const { timeoutMs = 10_000, signal } = this.#options
    const endsAt = performance.now() + timeoutMs
    for (;;) {
      const late = await this.#judge([...this.#suspects], performance.now() >= endsAt)
      if (late.length === 0) return
      this.#suspects.clear()
      for (const key of late) this.#suspects.add(key)
      await pause(betweenLooksMs, signal)
    }
  }

  /** Judges keys for good; gives back those that may only be late, unless this is the last look. */
  async #judge(keys: readonly string[], last: boolean): Promise<string[]> {
    const late: string[] = []
    for (let from = 0; from < keys.length; from += rowsAtOnce) {
      const some = keys.slice(from, from + rowsAtOnce)
      // In this order: see `judge`.
      const checkpoints = await this.#checkpoints()
      const parked = await this.#parkedAmong(some)
      const rows = await this.#sink.read!(some)
      const heads = await this.#heads.read(this.#collection, some)
      for (const [index, key] of some.entries()) {
        if (parked.has(key)) {
          this.#parked++
          continue
        }
        const { partition } = locate(this.#router, this.#collection, key)
        const verdict = judge(checkpoints[partition]!, rows[index], heads[index])
        if (verdict === 'behind' && !last) late.push(key)
        else if (verdict === 'equal') this.#checked += heads[index] && !heads[index].deleted ? 1 : 0
        else if (verdict !== 'parked')
          this.#differs({ key, verdict, log: heads[index]?.stamp, sink: rows[index]?.stamp })
      }
    }
    return late
  }

  #differs(difference: Difference): void {
    this.#checked++
    this.#counts[difference.verdict]++
    if (this.#differences.length < (this.#options.listed ?? 1_000)) this.#differences.push(difference)
  }

  async #checkpoints(): Promise<Stamp[]> {
    const { connection, keys, deadlineMs } = this.#parts
    const options = { doing: `reading the checkpoints of the group ${this.#group}`, deadlineMs }
    const texts = await persist(connection, options, (client) =>
      Promise.all(keys.partitions.map((of) => client.hget(of.group(this.#group), 'checkpoint'))),
    )
    if (texts.some((text) => text === null)) {
      throw new HeadwaterError(
        'GROUP_UNKNOWN',
        `No group ${JSON.stringify(this.#group)} is registered at namespace ${JSON.stringify(this.#parts.namespace)}.`,
      )
    }
    return texts.map(parseCheckpoint)
  }

  async #parkedAmong(keys: readonly string[]): Promise<Set<string>> {
    const { connection, deadlineMs } = this.#parts
    const options = { doing: 'reading the parked keys', deadlineMs }
    const parked = new Set<string>()
    await Promise.all(
      keys.map(async (key) => {
        const { partition } = locate(this.#router, this.#collection, key)
        const hash = this.#parts.keys.partitions[partition]!.parkedKeys(this.#group)
        const marker = await persist(connection, options, (client) =>
          client.hexists(hash, parkedField(this.#collection.name, key)),
        )
        if (marker) parked.add(key)
      }),
    )
    return parked
  }

  get #collection(): AnyCollection {
    return this.#sink.collection
  }
}
