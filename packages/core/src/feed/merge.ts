import type { Batch } from '../change/batch.ts'
import type { Change } from '../change/change.ts'
import { compareStamps, stampZero, type Stamp } from '../change/stamp.ts'
import { continuation } from '../log/continuity.ts'
import { isLost, type Header } from '../log/header.ts'

/** What a batch is to a subscriber that stands at some place. */
export type Taken =
  /** It follows: these are its changes that the subscriber does not know yet. */
  | { readonly kind: 'changes'; readonly changes: readonly Change[] }
  /** There are changes between the subscriber's place and this batch: they come from the log first. */
  | { readonly kind: 'gap' }
  /** It is of a later epoch, and only a header that knows this epoch tells what it inherited. */
  | { readonly kind: 'unknown-epoch' }
  /** The subscriber was given changes that the log does not have any more. */
  | { readonly kind: 'lost' }

/**
 * Where a subscriber stands in one partition, and what that makes of whatever reaches it: rows of a snapshot, batches that
 * it heard, batches that it read from the log, in any order and any number of times. It gives every change of its
 * collection after its beginning once and in order, whatever the way by which it came.
 */
export class PartitionMerge {
  readonly #collection: string | undefined
  #last: Stamp
  /** The log may begin later than at `last`: what retention removed is not missing. */
  #anywhere: boolean
  /** Keys whose row was written after the snapshot began: their changes up to this stamp are in the row. */
  readonly #ahead = new Map<string, Stamp>()
  #newestRow: Stamp = stampZero

  /**
   * @param collection undefined for all of them; then there is no snapshot
   * @param start a stamp, after which to begin; or `beginning`, which is wherever the log begins now
   */
  constructor(collection: string | undefined, start: Stamp | 'beginning') {
    this.#collection = collection
    this.#anywhere = start === 'beginning'
    this.#last = start === 'beginning' ? stampZero : start
  }

  /** Up to here everything was given or is not wanted. */
  get last(): Stamp {
    return this.#last
  }

  /** Whether the log may begin after `last` without anything missing. */
  get anywhere(): boolean {
    return this.#anywhere
  }

  /** Notes a row of the snapshot that is given. The snapshot began at `last`, and nothing was taken since. */
  row(key: string, stamp: Stamp): void {
    if (compareStamps(stamp, this.#last) > 0) this.#ahead.set(key, stamp)
    if (compareStamps(stamp, this.#newestRow) > 0) this.#newestRow = stamp
  }

  /** @param header as the partition has it now or had it a while ago; needed where a later epoch begins */
  take(batch: Batch, header?: Header): Taken {
    let last = this.#last
    if (batch.epoch > last.epoch && !this.#anywhere) {
      if (!header || header.epoch < batch.epoch) return { kind: 'unknown-epoch' }
      if (this.hasLost(header)) return { kind: 'lost' }
      last = { epoch: batch.epoch, sequence: last.sequence }
    }
    let skip = 0
    if (!this.#anywhere) {
      const follows = continuation(last, batch)
      if (follows.kind === 'known') return { kind: 'changes', changes: [] }
      if (follows.kind !== 'follows') return { kind: 'gap' }
      skip = follows.skip
    }
    this.#anywhere = false
    this.#last = { epoch: batch.epoch, sequence: batch.last }
    return { kind: 'changes', changes: this.#wanted(batch, skip) }
  }

  /** Nothing is left of the log up to this place, and that is as good as having read it. Only where it begins anywhere. */
  skipTo(stamp: Stamp): void {
    this.#anywhere = false
    this.#last = stamp
  }

  /** Whether something that was given is not in the log's history any more. */
  hasLost(header: Header): boolean {
    return isLost(header, this.#last) || isLost(header, this.#newestRow)
  }

  #wanted({ changes }: Batch, skip: number): readonly Change[] {
    const wanted = []
    for (let at = skip; at < changes.length; at++) {
      const change = changes[at]!
      if (this.#collection !== undefined && change.collection !== this.#collection) continue
      const row = this.#ahead.size > 0 ? this.#ahead.get(change.key) : undefined
      if (row && compareStamps(change.stamp, row) <= 0) continue
      wanted.push(change)
    }
    if (this.#ahead.size > 0 && compareStamps(this.#last, this.#newestRow) >= 0) this.#ahead.clear()
    return wanted
  }
}
