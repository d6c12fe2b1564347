import type { Batch } from '../change/batch.ts'
import { compareStamps, stampZero, type Stamp } from '../change/stamp.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { readHeader, type Header } from '../log/header.ts'
import { readRange } from '../log/range.ts'
import type { LogParts } from '../namespace/log.ts'
import { missingHeader } from '../namespace/metadata.ts'
import type { Connection } from '../redis/connection.ts'
import { Signal } from '../worker/signal.ts'
import { ChangeBuffer } from './change-buffer.ts'
import type { FeedChange } from './feed-change.ts'
import { formatFeedPosition, historyOf, parseFeedPosition, type FeedPosition } from './feed-position.ts'
import type { LiveHub } from './live-hub.ts'
import { PartitionMerge } from './merge.ts'
import type { PartitionTail, TailListener } from './partition-tail.ts'
import { readSnapshot } from './snapshot.ts'

export interface SubscriptionOptions {
  readonly collection: AnyCollection
  readonly from: 'now' | 'snapshot' | 'beginning' | FeedPosition
  readonly where: ((change: FeedChange) => boolean) | undefined
  /** How many changes may wait here before the rest is left in the log. */
  readonly buffer: number
}

/** Batches that one read of the log gives, and partitions that are read at once: what a slow subscriber holds at most. */
const batchesAtOnce = 8
const partitionsAtOnce = 8
/** How long to wait before Redis, which could not be asked, is asked again, in ms. */
const againMs = 500

/** One partition as a subscription sees it. */
interface Place {
  readonly merge: PartitionMerge
  header: Header
  /** Whether batches are taken from the tail. Otherwise they are read from the log until the tail is reached. */
  live: boolean
  /** Whether `header` was read after `live` ended. */
  checked: boolean
}

/**
 * One follower of the feed. While it keeps up, batches come from the tails that all share; when its buffer is full it takes
 * no more of them, and reads the log by itself as soon as the buffer is empty. It begins in the same way: behind, and
 * reading until it has reached the tail.
 */
export class Subscription implements TailListener {
  readonly #parts: LogParts
  readonly #hub: LiveHub
  readonly #options: SubscriptionOptions
  readonly #tails: readonly PartitionTail[]
  readonly #connection: Connection
  readonly #buffer: ChangeBuffer
  readonly #something = new Signal()
  readonly #abort = new AbortController()
  /** Undefined until the beginning is known. */
  #places: Place[] | undefined
  #history: string | undefined
  #rows: AsyncGenerator<readonly FeedChange[]> | undefined
  #failure: unknown
  #closed = false
  readonly started: Promise<void>

  /** @throws HeadwaterError POSITION_INVALID, CLOSED */
  constructor(parts: LogParts, hub: LiveHub, options: SubscriptionOptions) {
    this.#parts = parts
    this.#hub = hub
    this.#options = options
    const { from, buffer } = options
    const named = from === 'now' || from === 'snapshot' || from === 'beginning'
    const position = named ? undefined : parseFeedPosition(from, parts.metadata.partitions)
    this.#buffer = new ChangeBuffer(parts.metadata.partitions, buffer)
    const { tails, connection } = hub.join(this)
    this.#tails = tails
    this.#connection = connection
    this.started = this.#start(position)
    // Whoever asks for changes gets the reason too.
    this.started.catch((error: unknown) => this.#fail(error))
  }

  /** Whether the rows of the snapshot are still being given. */
  get inSnapshot(): boolean {
    return this.#rows !== undefined || (this.#places === undefined && this.#options.from === 'snapshot')
  }

  /** Up to where everything was given. Undefined before the beginning is known, and within a snapshot. */
  get position(): FeedPosition | undefined {
    if (!this.#places || this.inSnapshot) return undefined
    const stamps = this.#buffer.given
    this.#history ??= historyOf(
      this.#parts.hasher,
      this.#parts.metadata.lineage,
      this.#places.map(({ header }) => header),
      stamps,
    )
    return formatFeedPosition({ history: this.#history, stamps })
  }

  /** The next change, where one is at hand. */
  shift(): FeedChange | undefined {
    const change = this.#buffer.shift()
    // The text of the history depends on the epochs that the position names.
    if (change && change.stamp.epoch !== this.#epochs) this.#history = undefined
    return change
  }

  /** Waits until there may be something to `shift`, or a snapshot has ended. Rejects when the feed cannot go on. */
  async more(): Promise<void> {
    if (!this.#places) await this.started
    while (!this.#closed) {
      if (this.#failure !== undefined) throw this.#failure
      if (!this.#buffer.empty) return
      if (this.#rows) return await this.#nextRows(this.#rows)
      const behind = this.#behind()
      if (behind.length > 0) await this.#retrying(() => this.#catchUp(behind))
      else await this.#something.wait()
    }
  }

  /** Ends it. Safe to call twice. */
  close(reason: unknown = new HeadwaterError('CLOSED', 'The feed was closed.')): void {
    if (this.#closed) return
    this.#closed = true
    this.#hub.leave(this)
    this.#abort.abort(reason)
    this.#something.notify()
  }
}
