import type { Batch } from '../change/batch.ts'
import type { Change } from '../change/change.ts'
import { compareStamps, type Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Header } from '../log/header.ts'
import { readRange } from '../log/range.ts'
import { strayEpoch } from '../log/stray.ts'
import { pause } from '../redis/persist.ts'
import type { PartitionMerge } from './merge.ts'
import { isOtherHistory, isSameBranch, readOwnHeader, type OwnHeaderOptions } from './own-header.ts'
import { type PartitionTail } from './partition-tail.ts'

export interface PartitionFollowerOptions extends OwnHeaderOptions {
  readonly merge: PartitionMerge
  readonly header: Header
  readonly tail: PartitionTail
  /** Whether there is room for more. */
  readonly hasRoom: () => boolean
  /** Takes what is next, and up to where the partition is done with then. */
  readonly accept: (partition: number, changes: readonly Change[], end: Stamp) => void
}

/** Batches that one read of the log asks for: more while they are small. */
const batchesAtOnce = { min: 1, first: 4, max: 64 }
const changesAtOnce = { few: 200, many: 1_000 }
/** How long to wait for the tail, which is about to learn what was read here, in ms. */
const tailMs = 50

/** One subscriber in one partition: live, as part of the tail, or behind, reading the log until the tail is reached. */
export class PartitionFollower {
  readonly #options: PartitionFollowerOptions
  readonly #merge: PartitionMerge
  #header: Header
  #live = false
  /** Whether the tail may have gone over to another history than this follows. */
  #doubtful = false
  /** Whether the header was read since this fell behind. What is read from the log may be another history by now. */
  #checked = true
  #count = batchesAtOnce.first
  #stray: string | undefined

  /** @throws HeadwaterError MUST_REFETCH when the place to begin at is of lost history */
  constructor(options: PartitionFollowerOptions) {
    this.#options = options
    this.#merge = options.merge
    this.#header = options.header
    if (this.#merge.hasLost(this.#header)) throw lost(options)
  }

  get live(): boolean {
    return this.#live
  }

  get header(): Header {
    return this.#header
  }

  /** Takes the next batch of the tail, where this follows it. */
  take(batch: Batch, header: Header): void {
    if (!this.#live) return
    this.#live = this.#options.hasRoom() && this.#takeGiven(batch, header)
    if (!this.#live) this.#checked = false
  }

  /**
   * Becomes live, where this stands where the tail stands: the tail moves only by giving, so nothing is missed from here on.
   */
  join(): boolean {
    const { tail } = this.#options
    this.#live =
      tail.last !== undefined && !this.#merge.anywhere && compareStamps(this.#merge.last, tail.last) >= 0
    return this.#live
  }

  /** The history may have changed: nothing is taken before the header was looked at. */
  doubt(): void {
    this.#live = false
    this.#doubtful = true
    this.#checked = false
  }

  /**
   * Takes what the tail still has, or reads a page of the log, or joins the tail.
   *
   * @throws HeadwaterError MUST_REFETCH, LOG_DAMAGED
   */
  async catchUp(): Promise<void> {
    if (this.#takeRecent()) return
    if (!this.#checked) await this.#check()
    const { epoch, sequence } = this.#merge.last
    const batches = await readRange(this.#options, { epoch, sequence: sequence + 1 }, this.#count)
    if (batches.length === 0) return await this.#atEnd()
    let changes = 0
    for (const batch of batches) {
      if (!this.#read(batch)) return
      changes += batch.changes.length
    }
    if (changes < changesAtOnce.few) this.#count = Math.min(batchesAtOnce.max, this.#count * 2)
    if (changes > changesAtOnce.many) this.#count = Math.max(batchesAtOnce.min, this.#count >> 1)
    this.join()
  }

  /** Takes a batch that the tail gave. False where it does not follow. */
  #takeGiven(batch: Batch, header: Header): boolean {
    if (!isSameBranch(this.#merge.last, this.#header, header)) {
      this.#doubtful = true
      return false
    }
    const taken = this.#merge.take(batch, header)
    if (taken.kind !== 'changes') return false
    this.#header = header
    this.#options.accept(batch.partition, taken.changes, this.#merge.last)
    return true
  }

  /** Whether the tail still had what comes next. */
  #takeRecent(): boolean {
    const { tail, hasRoom } = this.#options
    if (this.#doubtful || this.#merge.anywhere) return false
    const recent = tail.since(this.#merge.last)
    if (!recent) return false
    for (const batch of recent) {
      if (!this.#takeGiven(batch, tail.header!)) return false
      if (!hasRoom()) break
    }
    this.join()
    return true
  }

  async #check(): Promise<void> {
    const header = await readOwnHeader(this.#options)
    const { last } = this.#merge
    if (this.#merge.hasLost(header) || isOtherHistory(last, this.#header, header)) throw lost(this.#options)
    this.#header = header
    this.#checked = true
    this.#doubtful = false
  }

  /** False where the header has to be read first. */
  #read(batch: Batch): boolean {
    const taken = this.#merge.take(batch, this.#header)
    switch (taken.kind) {
      case 'changes':
        this.#options.accept(batch.partition, taken.changes, this.#merge.last)
        return true
      case 'unknown-epoch':
        if (this.#stray === batch.id) throw strayEpoch(batch)
        this.#stray = batch.id
        this.#checked = false
        return false
      case 'gap':
        throw trimmed(this.#options, this.#merge.last, batch.first - 1)
      default:
        throw lost(this.#options)
    }
  }

  async #atEnd(): Promise<void> {
    if (this.join()) return
    const { epoch, sequence } = this.#header
    if (this.#merge.anywhere) {
      // All of it was removed by retention, or nothing was ever appended.
      this.#merge.skipTo({ epoch, sequence })
      this.#options.accept(this.#options.partition, [], this.#merge.last)
      this.join()
    } else if (sequence > this.#merge.last.sequence) {
      throw trimmed(this.#options, this.#merge.last, sequence)
    } else {
      // The tail has not looked yet, or is about to see that it stands in lost history.
      await pause(tailMs, this.#options.signal)
      this.#checked = false
    }
  }
}

function lost({ partition }: OwnHeaderOptions): HeadwaterError {
  return new HeadwaterError(
    'MUST_REFETCH',
    `The feed stands in a history of partition ${partition} that a failover or restore lost: begin again with a snapshot.`,
  )
}

function trimmed({ partition }: OwnHeaderOptions, last: Stamp, to: number): HeadwaterError {
  return new HeadwaterError(
    'MUST_REFETCH',
    `The feed needs sequences ${last.sequence + 1} to ${to} of partition ${partition}, which the log does not have any more: begin again with a snapshot.`,
  )
}
