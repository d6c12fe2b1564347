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
import { applyWrites, toWrite, type ApplyOptions, type Write } from './apply-script.ts'
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
    const outcomes = new Array<Outcome>(changes.length)
    const writes = this.#toWrites(changes, outcomes)
    if (this.#target.client.isCluster) await this.#applyToCluster(writes, position, outcomes)
    else await this.#applyToServer(writes, position, outcomes)
    return outcomes
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

  /** Of those changes that can be written; what cannot has its outcome. */
  #toWrites(changes: readonly Change[], outcomes: Outcome[]): Write[] {
    const writes: Write[] = []
    for (const [at, change] of changes.entries()) {
      try {
        writes.push(toWrite(this.#target, change, at))
      } catch (error) {
        if (!isHeadwaterError(error, 'SINK_REJECTED')) throw error
        outcomes[at] = reject(error)
      }
    }
    return writes
  }

  /** Also without a single write, for the position. */
  async #applyToServer(writes: readonly Write[], position: SinkPosition, outcomes: Outcome[]): Promise<void> {
    this.#calls = await this.#applyOrMakeRoom(writes, outcomes, {
      place: this.#target.keys.placeOf(''),
      right: this.#right,
      fenceRule: 'same',
      progress: { position, calls: this.#calls },
    })
  }

  /**
   * First the position with the check of the fence, which `open` stored beside it; it claims nothing of this batch.
   * Then each slot on its own, where the fence comes along and keeps off whoever has an older one from now on.
   *
   * So a worker that lost its lease is refused, unless it lost it while this call is under way: then it may still
   * write into slots that the new owner has not touched yet, and the stamps see to it that no key goes back.
   */
  async #applyToCluster(
    writes: readonly Write[],
    position: SinkPosition,
    outcomes: Outcome[],
  ): Promise<void> {
    await this.advance(position)
    const slots = new Map<string, [Write, ...Write[]]>()
    for (const write of writes) {
      const { rows } = this.#target.keys.placeOf(write.dataKey)
      const slot = slots.get(rows)
      if (slot) slot.push(write)
      else slots.set(rows, [write])
    }
    const results = await Promise.allSettled(
      Array.from(slots.values(), (slot) => this.#applyToSlot(slot, outcomes)),
    )
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  /** A slot that cannot take anything now does not hold up the others. */
  async #applyToSlot(writes: readonly [Write, ...Write[]], outcomes: Outcome[]): Promise<void> {
    const place = this.#target.keys.placeOf(writes[0].dataKey)
    try {
      await this.#applyOrMakeRoom(writes, outcomes, { place, right: this.#right, fenceRule: 'newest' })
    } catch (error) {
      if (!isHeadwaterError(error) || error.code === 'SINK_FENCED') throw error
      for (const { at } of writes) outcomes[at] = retry(error)
    }
  }

  /**
   * A full Redis refuses a batch with puts as a whole. Its deletes still get in, or it would stay full for ever.
   *
   * @returns the calls confirmed now
   */
  async #applyOrMakeRoom(
    writes: readonly Write[],
    outcomes: Outcome[],
    options: ApplyOptions,
  ): Promise<number> {
    try {
      return await this.#apply(writes, outcomes, options)
    } catch (error) {
      const deletes = writes.filter(({ change }) => change.kind === 'delete')
      if (!isHeadwaterError(error) || !isOutOfMemory(error.cause) || deletes.length === 0) throw error
      for (const { at } of writes) outcomes[at] = retry(error)
      return await this.#apply(deletes, outcomes, options)
    }
  }

  async #apply(writes: readonly Write[], outcomes: Outcome[], options: ApplyOptions): Promise<number> {
    const applied = await applyWrites(this.#target, writes, options)
    for (const [index, { at }] of writes.entries()) outcomes[at] = applied.outcomes[index]!
    return applied.calls
  }
}
