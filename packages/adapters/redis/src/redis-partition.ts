import {
  isHeadwaterError,
  reject,
  retry,
  type Change,
  type Outcome,
  type PartitionSnapshot,
  type SinkPartition,
  type SinkPosition,
} from '@headwater/core'
import {
  applyWrites,
  toWrite,
  type Applied,
  type ApplyOptions,
  type Outcomes,
  type Write,
} from './apply-script.ts'
import { snapshotOf } from './kept-sums.ts'
import { snapshotOfPlaces } from './places-digest.ts'
import { storePosition, type PartitionRight, type Progress } from './partition-scripts.ts'
import { isOutOfMemory } from './redis-failure.ts'
import type { RedisTarget } from './redis-target.ts'

/** An opened partition. On one server a batch is one script; on a Cluster it is one for each slot that it touches. */
export class RedisPartition implements SinkPartition {
  readonly position: SinkPosition | undefined
  readonly #target: RedisTarget
  readonly #right: PartitionRight
  /** Confirmed so far; a server that counts fewer has lost what it confirmed. */
  #calls: number

  constructor(target: RedisTarget, right: PartitionRight, { position, calls }: Progress) {
    this.position = position
    this.#target = target
    this.#right = right
    this.#calls = calls
  }

  /**
   * The signal only keeps from being sent what was not. After that, this settles when the client does: if it gave up
   * earlier, try after try would pile up in the client's queues.
   */
  async apply(
    changes: readonly Change[],
    position: SinkPosition,
    { signal }: { signal: AbortSignal },
  ): Promise<readonly Outcome[]> {
    signal.throwIfAborted()
    const { writes, rejected } = this.#toWrites(changes)
    const results = this.#target.client.isCluster
      ? await this.#applyToCluster(writes, position)
      : await this.#applyToServer(writes, position)
    const outcomes: Outcomes = new Map([...rejected, ...results])
    return changes.map((change) => outcomes.get(change) as Outcome)
  }

  async advance(position: SinkPosition): Promise<void> {
    this.#calls = await storePosition(this.#target, this.#right, position, this.#calls)
  }

  async snapshot(): Promise<PartitionSnapshot> {
    const { partition } = this.#right
    const kept = this.#target.keys.sumsOf?.(partition)
    return kept === undefined
      ? await snapshotOfPlaces(this.#target, partition)
      : await snapshotOf(this.#target, partition, kept)
  }

  async close(): Promise<void> {
    // Nothing is held open, and the fence stays: the next owner's is greater.
  }

  #toWrites(changes: readonly Change[]): { writes: Write[]; rejected: Outcomes } {
    const writes: Write[] = []
    const rejected = new Map<Change, Outcome>()
    for (const change of changes) {
      try {
        writes.push(toWrite(this.#target, change))
      } catch (error) {
        if (!isHeadwaterError(error, 'SINK_REJECTED')) throw error
        rejected.set(change, reject(error))
      }
    }
    return { writes, rejected }
  }

  /** Also without a single write, for the position. */
  async #applyToServer(writes: readonly Write[], position: SinkPosition): Promise<Outcomes> {
    const { outcomes, calls } = await this.#applyOrMakeRoom(writes, {
      place: this.#target.keys.placeOf(''),
      right: this.#right,
      fenceRule: 'same',
      progress: { position, calls: this.#calls },
    })
    this.#calls = calls
    return outcomes
  }

  /**
   * First the position with the check of the fence, which `open` stored beside it; it claims nothing of this batch.
   * Then each slot on its own, where the fence comes along and keeps off whoever has an older one from now on.
   *
   * So a worker that lost its lease is refused, unless it lost it while this call is under way: then it may still
   * write into slots that the new owner has not touched yet, and the stamps see to it that no key goes back.
   */
  async #applyToCluster(writes: readonly Write[], position: SinkPosition): Promise<Outcomes> {
    await this.advance(position)
    const slots = new Map<string, [Write, ...Write[]]>()
    for (const write of writes) {
      const { rows } = this.#target.keys.placeOf(write.dataKey)
      const slot = slots.get(rows)
      if (slot) slot.push(write)
      else slots.set(rows, [write])
    }
    const results = await Promise.allSettled(Array.from(slots.values(), (slot) => this.#applyToSlot(slot)))
    const outcomes = new Map<Change, Outcome>()
    for (const result of results) {
      if (result.status === 'rejected') throw result.reason
      for (const [change, outcome] of result.value) outcomes.set(change, outcome)
    }
    return outcomes
  }

  /** A slot that cannot take anything now does not hold up the others. */
  async #applyToSlot(writes: readonly [Write, ...Write[]]): Promise<Outcomes> {
    const place = this.#target.keys.placeOf(writes[0].dataKey)
    try {
      const options = { place, right: this.#right, fenceRule: 'newest' } as const
      return (await this.#applyOrMakeRoom(writes, options)).outcomes
    } catch (error) {
      if (!isHeadwaterError(error) || error.code === 'SINK_FENCED') throw error
      return new Map(writes.map(({ change }) => [change, retry(error)]))
    }
  }

  /** A full Redis refuses a batch with puts as a whole. Its deletes still get in, or it would stay full for ever. */
  async #applyOrMakeRoom(writes: readonly Write[], options: ApplyOptions): Promise<Applied> {
    try {
      return await applyWrites(this.#target, writes, options)
    } catch (error) {
      const deletes = writes.filter(({ change }) => change.kind === 'delete')
      if (!isHeadwaterError(error) || !isOutOfMemory(error.cause) || deletes.length === 0) throw error
      const notNow: Outcomes = new Map(writes.map(({ change }) => [change, retry(error)]))
      const { outcomes, calls } = await applyWrites(this.#target, deletes, options)
      return { outcomes: new Map([...notNow, ...outcomes]), calls }
    }
  }
}
