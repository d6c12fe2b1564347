import type { CollectionOf } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import type { FeedChange } from './feed-change.ts'
import type { FeedRetain } from './feed-hold.ts'
import type { FeedPosition } from './feed-position.ts'
import type { LiveHub } from './live-hub.ts'
import { Subscription, type FeedStart } from './subscription.ts'

export interface FeedOptions<T = unknown> {
  /**
   * Default `now`: what is appended from now on. `snapshot`: first the present value of every key as a put, then what comes.
   * `beginning`: what is left of the log. Or the position of an earlier feed.
   */
  readonly from?: FeedStart
  /** Which changes are given. A value that stops fitting is not announced: filter by key, or treat the rest yourself. */
  readonly where?: (change: FeedChange<T>) => boolean
  /** Ends the feed: its loop rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** How many changes may wait in memory for a slow reader before the rest is left in the log, 1 to 1,000,000. Default 1,000. */
  readonly buffer?: number
  /** Has retention keep what this feed has not given yet, also for a while after it ended. Default: feeds hold nothing back. */
  readonly retain?: FeedRetain
}

/** Changes of one collection as they are appended. Ends with the loop that reads it, or with `close`. */
export interface Feed<T = unknown> extends AsyncIterableIterator<FeedChange<T>>, AsyncDisposable {
  /** Settles when the beginning is fixed: what is appended from then on will be given. */
  readonly started: Promise<void>
  /** Settles when the last row of the snapshot was given; without a snapshot with `started`. */
  readonly live: Promise<void>
  /** Where to go on after the change given last. Undefined before `started`, and within a snapshot. */
  readonly position: FeedPosition | undefined
  /** Ends it. Safe to call twice. */
  close(): void
  return(): Promise<IteratorReturnResult<undefined>>
}

/** @throws HeadwaterError OPTION_INVALID, POSITION_INVALID, STATE_REQUIRED */
export function openFeed<T>(
  parts: LogParts,
  hub: LiveHub,
  collection: CollectionOf<T> | undefined,
  { from = 'now', where, signal, buffer = 1_000, retain }: FeedOptions<T>,
): Feed<T> {
  if (!Number.isInteger(buffer) || buffer < 1 || buffer > 1_000_000) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `buffer ${String(buffer)} must be an integer from 1 to 1,000,000.`,
    )
  }
  signal?.throwIfAborted()
  const fits = where as ((change: FeedChange) => boolean) | undefined
  return new SubscriptionFeed<T>(
    new Subscription(parts, hub, { collection, from, where: fits, buffer, retain }),
    signal,
  )
}

const subscriptions = new WeakMap<object, Subscription>()

/** What is behind a feed, for what gives its changes on in another form. */
export function subscriptionOf(feed: Feed): Subscription {
  return subscriptions.get(feed)!
}

class SubscriptionFeed<T> implements Feed<T> {
  readonly #subscription: Subscription
  readonly #signal: AbortSignal | undefined
  readonly #abort = (): void => this.#subscription.close(this.#signal?.reason)

  constructor(subscription: Subscription, signal: AbortSignal | undefined) {
    subscriptions.set(this, subscription)
    this.#subscription = subscription
    this.#signal = signal
    signal?.addEventListener('abort', this.#abort, { once: true })
  }

  get started(): Promise<void> {
    return this.#subscription.started
  }

  get live(): Promise<void> {
    return this.#subscription.live
  }

  get position(): FeedPosition | undefined {
    return this.#subscription.position
  }

  async next(): Promise<IteratorResult<FeedChange<T>, undefined>> {
    for (;;) {
      this.#signal?.throwIfAborted()
      if (this.#subscription.closed) return { done: true, value: undefined }
      const change = this.#subscription.shift()
      if (change) return { done: false, value: change as FeedChange<T> }
      await this.#subscription.more()
    }
  }

  return(): Promise<IteratorReturnResult<undefined>> {
    this.close()
    return Promise.resolve({ done: true, value: undefined })
  }

  close(): void {
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#subscription.close()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }
}
