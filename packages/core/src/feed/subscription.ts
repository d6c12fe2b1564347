import type { Batch } from '../change/batch.ts'
import type { Change } from '../change/change.ts'
import { stampZero, type Stamp } from '../change/stamp.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Header } from '../log/header.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { Signal } from '../worker/signal.ts'
import { ChangeBuffer } from './change-buffer.ts'
import type { FeedChange } from './feed-change.ts'
import { FeedHold, type FeedRetain } from './feed-hold.ts'
import { formatFeedPosition, historyOf, parseFeedPosition, type FeedPosition } from './feed-position.ts'
import type { LiveHub } from './live-hub.ts'
import { PartitionMerge } from './merge.ts'
import { readOwnHeader, type OwnHeaderOptions } from './own-header.ts'
import { PartitionFollower } from './partition-follower.ts'
import type { PartitionTail, TailListener } from './partition-tail.ts'
import { readSnapshot } from './snapshot.ts'

/** Where a feed begins: with what is appended from now on, the present values, what is left of the log, or a position. */
export type FeedStart = 'now' | 'snapshot' | 'beginning' | FeedPosition

export interface SubscriptionOptions {
  /** Undefined for all of them. */
  readonly collection: AnyCollection | undefined
  readonly from: FeedStart
  readonly where: ((change: FeedChange) => boolean) | undefined
  /** How many changes may wait here before the rest is left in the log. */
  readonly buffer: number
  /** Undefined where retention need not wait for it. */
  readonly retain: FeedRetain | undefined
}

/** Partitions that a subscriber who is behind reads at once. */
const partitionsAtOnce = 8

/**
 * One follower of all partitions. While it keeps up, batches come from the tails that all share. When its buffer is full it
 * takes no more of them, and reads the log by itself as soon as the buffer is empty. It begins in the same way.
 */
export class Subscription implements TailListener {
  /** Settles when the beginning is fixed: what is appended from then on will be given. */
  readonly started: Promise<void>
  /** Settles when the last row of the snapshot was given; without a snapshot with `started`. */
  readonly live: Promise<void>
  readonly #parts: LogParts
  readonly #hub: LiveHub
  readonly #options: SubscriptionOptions
  readonly #tails: readonly PartitionTail[]
  readonly #ranges: readonly OwnHeaderOptions[]
  readonly #buffer: ChangeBuffer
  readonly #hold: FeedHold | undefined
  readonly #something = new Signal()
  readonly #abort = new AbortController()
  #followers: readonly PartitionFollower[] | undefined
  #rows: AsyncGenerator<void> | undefined
  #history: { readonly epochs: number; readonly text: string } | undefined
  #becomeLive: () => void = () => {}
  #failure: { readonly error: unknown } | undefined
  #closed = false

  /** @throws HeadwaterError POSITION_INVALID, STATE_REQUIRED, CLOSED */
  constructor(parts: LogParts, hub: LiveHub, options: SubscriptionOptions) {
    const { collection, from, buffer, retain } = options
    const { namespace, metadata, keys, hasher, collections } = parts
    this.#parts = parts
    this.#hub = hub
    this.#options = options
    if (from === 'snapshot' && collection?.state !== 'values') {
      if (!collection)
        throw new HeadwaterError('OPTION_INVALID', 'A feed of all collections has no snapshot.')
      throw new HeadwaterError(
        'STATE_REQUIRED',
        `${collection.name} is defined with state "versions", so there are no values for a snapshot; a feed of it begins at "beginning" or "now".`,
      )
    }
    const named = from === 'now' || from === 'snapshot' || from === 'beginning'
    const position = named ? undefined : parseFeedPosition(from, metadata.partitions)
    this.#buffer = new ChangeBuffer(position?.stamps ?? keys.partitions.map(() => stampZero), buffer)
    this.#hold = retain && new FeedHold(parts, retain)
    const { tails, connection } = hub.join(this)
    this.#tails = tails
    this.#ranges = keys.partitions.map((of, partition) => ({
      namespace,
      lineage: metadata.lineage,
      connection,
      keys: of,
      partition,
      context: { hasher, partitions: metadata.partitions, buckets: metadata.buckets, collections },
      // A feed rides out what Redis goes through, for as long as somebody listens.
      deadlineMs: Number.POSITIVE_INFINITY,
      signal: this.#abort.signal,
    }))
    this.started = this.#start(position?.history)
    const ended = new Promise<void>((resolve) => (this.#becomeLive = resolve))
    this.live = this.started.then(() => (this.#rows ? ended : undefined))
    // Whoever waits for changes is told too.
    this.started.catch((error: unknown) => this.#fail(error))
    this.live.catch(() => {})
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Whether rows of the snapshot are still to be given. */
  get inSnapshot(): boolean {
    return this.#followers ? this.#rows !== undefined : this.#options.from === 'snapshot'
  }

  /** Up to where everything was given. Undefined before the beginning is fixed, and within a snapshot. */
  get position(): FeedPosition | undefined {
    if (!this.#followers || this.#rows) return undefined
    const stamps = this.#buffer.given
    let epochs = 0
    for (const { epoch } of stamps) epochs += epoch
    if (this.#history?.epochs !== epochs)
      this.#history = {
        epochs,
        text: this.#historyOf(
          this.#followers.map(({ header }) => header),
          stamps,
        ),
      }
    return formatFeedPosition({ history: this.#history.text, stamps })
  }

  /** The next change, where one is at hand. */
  shift(): FeedChange | undefined {
    return this.#failure ? undefined : this.#buffer.shift()
  }

  /** Waits until there may be something to `shift`, or the snapshot has ended, or all has. Rejects when it cannot go on. */
  async more(): Promise<void> {
    try {
      await this.started
      await this.#more()
    } catch (error) {
      if (this.#closed) return
      this.close()
      throw error
    }
  }

  /** Ends it. Safe to call twice. */
  close(reason: unknown = new HeadwaterError('CLOSED', 'The feed was closed.')): void {
    if (this.#closed) return
    this.#closed = true
    this.#hold?.close()
    this.#hub.leave(this)
    this.#abort.abort(reason)
    this.#something.notify()
  }

  onBatch(partition: number, batch: Batch, header: Header): void {
    try {
      this.#followers?.[partition]!.take(batch, header)
    } catch (error) {
      this.#fail(error)
    }
    this.#something.notify()
  }

  onDoubt(partition: number): void {
    this.#followers?.[partition]!.doubt()
    this.#something.notify()
  }

  onEnd(error: HeadwaterError): void {
    this.#fail(error)
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#something.notify()
  }

  async #start(history: string | undefined): Promise<void> {
    const { from, collection } = this.#options
    // Before the headers are read: what they say is kept then.
    await this.#hold?.take(this.#buffer.given.map((stamp) => holdAfter(from, stamp)))
    const headers = await Promise.all(this.#ranges.map((range) => readOwnHeader(range)))
    const { given } = this.#buffer
    if (history !== undefined && history !== this.#historyOf(headers, given)) throw otherHistory()
    const merges = headers.map((header, partition) => {
      const start = startOf(from, header, given[partition]!)
      if (start !== 'beginning') this.#buffer.push(partition, [], start)
      return new PartitionMerge(collection?.name, start)
    })
    this.#followers = this.#ranges.map(
      (range, partition) =>
        new PartitionFollower({
          ...range,
          header: headers[partition]!,
          merge: merges[partition]!,
          tail: this.#tails[partition]!,
          hasRoom: () => !this.#buffer.full,
          accept: (_, changes, end) => this.#accept(partition, changes, end),
        }),
    )
    if (!this.#closed) this.#hold?.follow(() => this.#buffer.given)
    if (from === 'snapshot' && collection) this.#rows = this.#snapshot(collection, merges)
    else for (const follower of this.#followers) follower.join()
  }

  async #more(): Promise<void> {
    while (!this.#closed) {
      if (this.#failure) throw this.#failure.error
      if (!this.#buffer.empty) return
      if (this.#rows) {
        const { done } = await this.#rows.next()
        if (done) return this.#endSnapshot()
        continue
      }
      const behind = this.#followers!.filter(({ live }) => !live).slice(0, partitionsAtOnce)
      if (behind.length === 0) await this.#something.wait()
      else await Promise.all(behind.map((follower) => follower.catchUp()))
    }
  }

  /** Puts the rows into the buffer, page by page. */
  async *#snapshot(collection: AnyCollection, merges: readonly PartitionMerge[]): AsyncGenerator<void> {
    const { namespace, metadata, keys } = this.#parts
    for (const [partition, merge] of merges.entries()) {
      const { connection, deadlineMs, signal } = this.#ranges[partition]!
      const options = { namespace, connection, keys, buckets: metadata.buckets, deadlineMs, signal }
      for await (const rows of readSnapshot(options, collection, partition)) {
        for (const { key, stamp } of rows) merge.row(key, stamp)
        this.#accept(partition, rows, undefined)
        yield
      }
    }
  }

  #endSnapshot(): void {
    this.#rows = undefined
    // What was appended meanwhile is read from the log, after a look at whether the history is still the same.
    for (const follower of this.#followers!) follower.doubt()
    this.#becomeLive()
  }

  #accept(partition: number, changes: readonly (FeedChange | Change)[], end: Stamp | undefined): void {
    const { where } = this.#options
    this.#buffer.push(partition, where ? changes.filter((change) => where(change)) : changes, end)
  }

  #historyOf(headers: readonly Header[], stamps: readonly Stamp[]): string {
    const { hasher, metadata } = this.#parts
    return historyOf(hasher, metadata.lineage, headers, stamps)
  }
}

function startOf(from: FeedStart, header: Header, given: Stamp): Stamp | 'beginning' {
  if (from === 'beginning') return 'beginning'
  if (from === 'now' || from === 'snapshot') return { epoch: header.epoch, sequence: header.sequence }
  // A feed that had begun at the beginning, and had come to nothing here.
  return given.epoch === 0 ? 'beginning' : given
}

function holdAfter(from: FeedStart, given: Stamp): Stamp | 'end' | 'earliest' {
  if (from === 'beginning') return 'earliest'
  return from === 'now' || from === 'snapshot' ? 'end' : given
}

function otherHistory(): HeadwaterError {
  return new HeadwaterError(
    'MUST_REFETCH',
    'The position of the feed is of another log, or of a history that a failover or restore lost: begin again with a snapshot.',
  )
}
