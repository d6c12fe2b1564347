import { stampZero, type Stamp } from '../change/stamp.ts'
import { locate, type Router } from '../append/prepare.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { needsUpcast } from '../collection/upcast.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { parseCheckpoint } from '../group/checkpoint.ts'
import { changeAt } from '../log/change-at.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { parkedField } from '../parking/parked-key.ts'
import { persist } from '../redis/persist.ts'
import type { AnySink, SinkValue } from '../sink/sink.ts'
import { LatestChanges } from '../state/latest-changes.ts'
import { StateHeads } from '../state/state-heads.ts'
import type { StateHead } from '../state/state-record.ts'
import { hasItsContent, isSameValue } from './content.ts'
import { isSameState, judge, type Verdict } from './verdict.ts'

/** One key as it was found, with the judgement over it. */
export interface JudgedKey {
  readonly key: string
  readonly partition: number
  readonly verdict: Verdict
  /** What the sink holds; undefined where it does not know the key. */
  readonly sink: SinkValue | undefined
  /** What the log holds beside itself; undefined where it does not know the key. */
  readonly log: StateHead | undefined
}

/** Judges keys of one sink, a page at a time. */
export class KeyJudge {
  readonly heads: StateHeads
  readonly router: Router
  readonly #parts: LogParts
  readonly #sink: AnySink
  readonly #group: string
  readonly #deep: boolean
  readonly #latest: LatestChanges

  /** @param deep whether hashes are computed from the stored values, instead of taken from the sink's bookkeeping */
  constructor(parts: LogParts, sink: AnySink, group: string, deep: boolean) {
    const { hasher, metadata, connection, keys, deadlineMs } = parts
    this.#parts = parts
    this.#sink = sink
    this.#group = group
    this.#deep = deep
    this.router = { hasher, partitions: metadata.partitions, buckets: metadata.buckets }
    this.#latest = new LatestChanges(parts, this.router)
    this.heads = new StateHeads(connection, keys, this.router, deadlineMs)
  }

  /** Judges keys as they are now. Everything is read in the order that `judge` needs. */
  async judge(keys: readonly string[]): Promise<JudgedKey[]> {
    const checkpoints = await this.checkpoints()
    const parked = await this.#parkedAmong(keys)
    const rows = await this.#sink.read!(keys)
    const heads = await this.heads.read(this.#collection, keys)
    const judged = keys.map((key, index): JudgedKey => {
      const { partition } = locate(this.router, this.#collection, key)
      const [sink, log] = [rows[index], heads[index]]
      const verdict = parked.has(key) ? 'parked' : judge(checkpoints[partition]!, sink, log)
      return { key, partition, verdict, sink, log }
    })
    return await Promise.all(
      judged.map(async (each) => {
        const { verdict, sink, log } = each
        if (verdict !== 'equal' || !sink || this.isIntact(sink, log)) return each
        return { ...each, verdict: (await this.#isUpcast(sink, log)) ? 'equal' : 'corrupt' }
      }),
    )
  }

  /** Whether a stored value has the hash that the bookkeeping says; always, unless asked to look. */
  isIntact(held: SinkValue, log: StateHead | undefined): boolean {
    if (!this.#deep) return true
    const schemaVersion = log?.schemaVersion ?? this.#collection.schemaVersion
    return hasItsContent(this.router.hasher, this.#collection, held, schemaVersion)
  }

  /**
   * Judges a row by the very change that it says it holds: for keys that change so often that the log is always ahead.
   * Undefined where the log does not have that change any more.
   */
  async judgeByOrigin({
    key,
    partition,
    sink,
  }: JudgedKey & { sink: SinkValue }): Promise<'equal' | 'corrupt' | undefined> {
    const origin = await changeAt(this.#parts, partition, sink.stamp)
    if (!origin) return undefined
    // An event does not say what state follows from it.
    if (origin.kind === 'event' && this.#collection.decides) return undefined
    const isOrigin = origin.key === key && origin.collection === this.#collection.name
    const held = { stamp: origin.stamp, hash: origin.hash, deleted: origin.kind === 'delete' }
    const isAlike = isOrigin && isSameState(sink, held)
    return isAlike && (!this.#deep || isSameValue(sink.value, origin.value)) ? 'equal' : 'corrupt'
  }

  /** The hash is that of what was stored. What an upcaster made of it is compared with what it makes of it now. */
  async #isUpcast(sink: SinkValue, log: StateHead | undefined): Promise<boolean> {
    if (sink.deleted || !log || !needsUpcast(this.#collection, 'put', log.schemaVersion)) return false
    const [change] = await this.#latest.read(this.#collection, [sink.key])
    return change !== undefined && isSameValue(sink.value, change.value)
  }

  /**
   * How far the group is in each partition: nowhere where the sink still gets its first copy, so that what it lacks is
   * behind, and not missing.
   *
   * @throws HeadwaterError GROUP_UNKNOWN
   */
  async checkpoints(): Promise<Stamp[]> {
    const { connection, keys, deadlineMs, namespace } = this.#parts
    const options = { doing: `reading the checkpoints of the group ${this.#group}`, deadlineMs }
    const records = await persist(connection, options, (client) =>
      Promise.all(keys.partitions.map((of) => client.hmget(of.group(this.#group), 'checkpoint', 'copy'))),
    )
    if (records.some(([text]) => text === null)) {
      throw new HeadwaterError(
        'GROUP_UNKNOWN',
        `No group ${JSON.stringify(this.#group)} is registered at namespace ${JSON.stringify(namespace)}.`,
      )
    }
    return records.map(([text, copy]) => (copy === null ? parseCheckpoint(text) : stampZero))
  }

  /** The partitions in which the sink still gets its first copy. */
  async copying(): Promise<number[]> {
    const { connection, keys, deadlineMs } = this.#parts
    const options = { doing: `asking whether the group ${this.#group} copies`, deadlineMs }
    const copies = await persist(connection, options, (client) =>
      Promise.all(keys.partitions.map((of) => client.hexists(of.group(this.#group), 'copy'))),
    )
    return copies.flatMap((copies, partition) => (copies ? [partition] : []))
  }

  async #parkedAmong(keys: readonly string[]): Promise<ReadonlySet<string>> {
    const { connection, deadlineMs } = this.#parts
    const options = { doing: 'reading the parked keys', deadlineMs }
    const byPartition = new Map<number, string[]>()
    for (const key of keys) {
      const { partition } = locate(this.router, this.#collection, key)
      const some = byPartition.get(partition)
      if (some) some.push(key)
      else byPartition.set(partition, [key])
    }
    const parked = new Set<string>()
    await Promise.all(
      Array.from(byPartition, async ([partition, some]) => {
        const hash = this.#parts.keys.partitions[partition]!.parkedKeys(this.#group)
        const fields = some.map((key) => parkedField(this.#collection.name, key))
        const marks = await persist(connection, options, (client) => client.hmget(hash, ...fields))
        for (const [index, mark] of marks.entries()) if (mark !== null) parked.add(some[index]!)
      }),
    )
    return parked
  }

  get #collection(): AnyCollection {
    return this.#sink.collection
  }
}
