import { setTimeout as delay } from 'node:timers/promises'
import { HeadwaterError, type Origin } from '@headwater/core'
import type { Redis, RedisOptions } from 'ioredis'
import { Bell } from './bell.ts'
import type { CaptureEvent } from './capture-event.ts'
import type { CapturedCollection } from './captured-collection.ts'
import { DirtyKeys } from './dirty-keys.ts'
import { connectClient } from './source-address.ts'
import type { SourceReader } from './source-reader.ts'
import type { SourceMoment, StateWriter } from './state-writer.ts'
import { sweep } from './sweep.ts'

const RETRY_MS = { first: 50, most: 2_000 }
/** A link that is silent may be dead: it is asked now and then. */
const PING_EVERY_MS = 5_000

/** What a watch works with. */
export interface KeyspaceWatchOptions {
  readonly source: RedisOptions
  readonly collections: readonly CapturedCollection[]
  readonly origin: Origin
  readonly reader: SourceReader
  readonly writer: StateWriter
  readonly rescanMs: number
  readonly onEvent: (event: CaptureEvent) => void
  readonly signal: AbortSignal
}

/**
 * Follows a source by its keyspace notifications, which are fast and may be lost, and by rescans: at the beginning, whenever
 * the link was cut, and every now and then. One thing at a time, so that values of a key are read and appended in order.
 */
export class KeyspaceWatch {
  readonly #options: KeyspaceWatchOptions
  readonly #bell = new Bell()
  readonly #dirty: DirtyKeys
  #position = 0
  /** Rises when a rescan is due at once. */
  #wanted = 1
  /** What was wanted when the last rescan that is complete began. */
  #swept = 0
  #sweptAt = 0
  #cleanAt = performance.now()

  constructor(options: KeyspaceWatchOptions) {
    this.#options = options
    this.#dirty = new DirtyKeys(options.collections, options.writer)
  }

  /** Since the log last had all that was told. */
  get lagSeconds(): number {
    if (this.#dirty.size === 0 && this.#swept > 0) return 0
    return (performance.now() - this.#cleanAt) / 1_000
  }

  /** Runs until the signal; rejects with what cannot be mended by trying again. */
  async run(): Promise<void> {
    const { signal } = this.#options
    const ended = new AbortController()
    const listening = this.#listen(AbortSignal.any([signal, ended.signal]))
    try {
      await Promise.race([listening, this.#bring()])
    } finally {
      ended.abort()
      await listening.catch(() => {})
    }
  }

  /** Settles when a rescan that began after the call is complete. */
  async caughtUp(done: Promise<void>): Promise<void> {
    const wanted = this.#want()
    while (this.#swept < wanted) {
      const changed = this.#bell.next
      if (this.#swept >= wanted) return
      const stopped = await Promise.race([changed.then(() => false), done.then(() => true)])
      if (stopped) throw new HeadwaterError('CLOSED', 'The capture was stopped before it had caught up.')
    }
  }

  #want(): number {
    this.#wanted++
    this.#bell.ring()
    return this.#wanted
  }

  async #bring(): Promise<void> {
    const { signal, rescanMs } = this.#options
    while (!signal.aborted) {
      const changed = this.#bell.next
      const nextSweepMs = this.#sweptAt + rescanMs - performance.now()
      if (this.#swept < this.#wanted || nextSweepMs <= 0) await this.#sweep()
      else if (this.#dirty.size > 0) await this.#flush()
      else {
        this.#cleanAt = performance.now()
        await Promise.race([changed, delay(nextSweepMs, undefined, { signal, ref: false })]).catch(() => {})
      }
    }
  }

  async #sweep(): Promise<void> {
    const { collections, onEvent } = this.#options
    const startedAt = performance.now()
    const wanted = this.#wanted
    let keys = 0
    for (const captured of collections) {
      keys += await sweep(captured, {
        ...this.#options,
        moment: this.#moment,
        between: () => this.#flush(),
      })
    }
    await this.#flush()
    this.#swept = wanted
    this.#sweptAt = performance.now()
    onEvent({ kind: 'copied', keys, seconds: (performance.now() - startedAt) / 1_000 })
    this.#bell.ring()
  }

  async #flush(): Promise<void> {
    if (this.#dirty.size > 0) await this.#dirty.write(this.#moment)
  }

  readonly #moment = (): SourceMoment => {
    this.#position++
    return { position: this.#position, text: String(this.#position) }
  }

  /** Listens, again and again. Whatever was said while nobody listened is found by a rescan. */
  async #listen(signal: AbortSignal): Promise<void> {
    const { onEvent } = this.#options
    for (let waitMs = RETRY_MS.first; !signal.aborted; waitMs = Math.min(waitMs * 2, RETRY_MS.most)) {
      const startedAt = performance.now()
      try {
        await this.#listenOnce(signal)
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof HeadwaterError || !(error instanceof Error)) throw error
        if (performance.now() - startedAt > RETRY_MS.most) waitMs = RETRY_MS.first
        onEvent({ kind: 'retrying', side: 'source', error })
      }
      await delay(waitMs, undefined, { signal }).catch(() => {})
    }
  }

  async #listenOnce(signal: AbortSignal): Promise<void> {
    const { source, collections, onEvent } = this.#options
    const client = await connectClient(source, 'headwater:capture:notifications')
    try {
      if (!(await this.#areNotificationsOn(client))) onEvent({ kind: 'notifications-off' })
      client.on('pmessageBuffer', (_pattern: Buffer, channel: Buffer) => this.#heard(channel))
      // In Redis a comma separates nothing in a pattern, and the colon ends the name of the database.
      await client.psubscribe(
        ...collections.map(({ database, pattern }) => `__keyspace@${database}__:${pattern.glob}`),
      )
      this.#want()
      await this.#untilCut(client, signal)
    } finally {
      client.disconnect()
    }
  }

  #heard(channel: Buffer): void {
    const at = channel.indexOf('__:')
    const database = Number(channel.toString('latin1', '__keyspace@'.length, at))
    this.#dirty.mark(database, channel.subarray(at + 3))
    this.#bell.ring()
  }

  /** Undefined permissions count as yes: the rescans find what is missed. */
  async #areNotificationsOn(client: Redis): Promise<boolean> {
    try {
      const [, flags = ''] = await client.config('GET', 'notify-keyspace-events')
      return (
        flags.includes('K') &&
        (flags.includes('A') ||
          ['g', '$', 'l', 's', 'h', 'z', 'x', 'e'].every((flag) => flags.includes(flag)))
      )
    } catch (error) {
      if (error instanceof Error && error.name === 'ReplyError') return true
      throw error
    }
  }

  #untilCut(client: Redis, signal: AbortSignal): Promise<never> {
    return new Promise((_, reject) => {
      const ping = setInterval(() => {
        const timeout = setTimeout(() => cut(new Error('the source does not answer')), PING_EVERY_MS)
        client.ping().then(
          () => clearTimeout(timeout),
          (error: unknown) => {
            clearTimeout(timeout)
            cut(error instanceof Error ? error : new Error(String(error)))
          },
        )
      }, PING_EVERY_MS)
      const cut = (error: Error): void => {
        clearInterval(ping)
        signal.removeEventListener('abort', stopped)
        reject(error)
      }
      const stopped = (): void => cut(signal.reason as Error)
      if (signal.aborted) return stopped()
      signal.addEventListener('abort', stopped, { once: true })
      client.once('close', () => cut(new Error('the link for notifications was cut')))
    })
  }
}
