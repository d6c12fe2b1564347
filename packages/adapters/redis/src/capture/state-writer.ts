import { setTimeout as delay } from 'node:timers/promises'
import {
  HeadwaterError,
  isHeadwaterError,
  type Origin,
  type OriginOutcome,
  type OriginValue,
} from '@headwater/core'
import type { CaptureEvent } from './capture-event.ts'
import type { CaptureTelemetry } from './capture-telemetry.ts'
import type { CapturedCollection } from './captured-collection.ts'
import type { SourceReader } from './source-reader.ts'
import { bytesOf, NoText, parseValue, readCommand } from './source-values.ts'

// Many, because the heads of a few keys in each of a log's buckets cost as many scripts as those of many.
const KEYS_MAX = 2_000
/** What is read at once, about, as far as the values before tell. */
const BYTES_MAX = 4 << 20
const RETRY_MS = { first: 50, most: 2_000 }
/** So many values that cannot enter are told and tried again; more of them are a wrong mapping. */
const REJECTED_MAX = 100

/** A value that cannot enter the log as it is. */
export interface RejectedValue {
  readonly collection: string
  readonly key: string
  readonly reason: string
}

/** What a writer works with. */
export interface StateWriterOptions {
  readonly origin: Origin
  readonly reader: SourceReader
  readonly telemetry: CaptureTelemetry
  readonly onEvent: (event: CaptureEvent) => void
  readonly signal: AbortSignal
}

/** Where the source is when values are read from it. */
export interface SourceMoment {
  /** Rising. */
  readonly position: number
  /** For whoever looks at a change. */
  readonly text: string
}

/** Reads the latest values of keys from the source, and brings what is new of them into the log. */
export class StateWriter {
  readonly #options: StateWriterOptions
  readonly #rejected = new Map<string, RejectedValue>()
  #keysAtOnce = KEYS_MAX

  constructor(options: StateWriterOptions) {
    this.#options = options
  }

  /** Values that could not enter, until they change. */
  get rejected(): readonly RejectedValue[] {
    return [...this.#rejected.values()]
  }

  /** A key that is meant, but can be no key of a collection. */
  rejectKey(collection: string, key: Buffer): void {
    const shown = key.toString('latin1')
    const reason = `Key ${JSON.stringify(shown)} of the source is no UTF-8 text, or nothing stands in the place of the "*".`
    this.#reject(collection, shown, new HeadwaterError('KEY_INVALID', reason))
  }

  /**
   * Returns when the log has what the source had of these keys after the call, or newer. `moment` is asked before each
   * read.
   *
   * @throws HeadwaterError SOURCE_REFUSED, ORIGIN_FENCED, and what a log refuses for good; the signal's reason
   */
  async write(
    captured: CapturedCollection,
    ids: Iterable<string>,
    moment: () => SourceMoment,
  ): Promise<void> {
    const all = [...ids]
    for (let from = 0; from < all.length;) {
      const some = all.slice(from, from + this.#keysAtOnce)
      from += some.length
      await this.persist(async () => {
        const { position, text } = moment()
        const values = await this.#read(captured, some)
        const outcomes = await this.#options.origin.append(
          values.filter((value) => !(value instanceof Unreadable)) as OriginValue[],
          position,
          { position: text },
        )
        this.#note(captured, values, outcomes)
      })
    }
  }

  /** Saves how far it is, unless the log may have lost what it had. */
  async save(progress: string): Promise<'saved' | 'log-may-have-lost'> {
    return await this.persist(() => this.#options.origin.save(progress))
  }

  async #read(
    { collection, pattern, type, database, value: map }: CapturedCollection,
    ids: readonly string[],
  ): Promise<(OriginValue | Unreadable)[]> {
    const replies = await this.#options.reader.ask(database, async (client) => {
      const pipeline = client.pipeline()
      for (const id of ids) {
        const [name, ...args] = readCommand(type, pattern.keyOf(id))
        pipeline.callBuffer(name, ...args)
      }
      const answers = (await pipeline.exec()) ?? []
      for (const [error] of answers) if (error && !/^WRONGTYPE\b/.test(error.message)) throw error
      return answers
    })
    this.#adapt(ids.length, bytesOf(replies))
    return ids.map((key, at) => {
      const [error, reply] = replies[at]!
      try {
        const read = error ? undefined : parseValue(type, reply)
        const value =
          read === undefined ? undefined : (map as (from: unknown, id: string) => unknown)(read, key)
        return { collection, key, value }
      } catch (thrown) {
        return new Unreadable(key, thrown instanceof NoText ? thrown.message : 'its mapping failed')
      }
    })
  }

  #adapt(keys: number, bytes: number): void {
    const average = Math.max(1, bytes / keys)
    this.#keysAtOnce = Math.max(1, Math.min(KEYS_MAX, this.#keysAtOnce * 2, Math.floor(BYTES_MAX / average)))
  }

  #note(
    { collection }: CapturedCollection,
    values: readonly (OriginValue | Unreadable)[],
    outcomes: readonly OriginOutcome[],
  ): void {
    const { telemetry } = this.#options
    let at = 0
    for (const value of values) {
      const outcome: OriginOutcome =
        value instanceof Unreadable
          ? { kind: 'rejected', error: value.asError(collection.name) }
          : outcomes[at++]!
      telemetry.changed(collection.name, outcome.kind)
      if (outcome.kind === 'rejected') this.#reject(collection.name, value.key, outcome.error)
      else this.#rejected.delete(nameOf(collection.name, value.key))
    }
  }

  #reject(collection: string, key: string, error: HeadwaterError): void {
    const name = nameOf(collection, key)
    if (!this.#rejected.has(name)) this.#options.onEvent({ kind: 'rejected', collection, key, error })
    this.#rejected.set(name, { collection, key, reason: error.message })
    if (this.#rejected.size <= REJECTED_MAX) return
    throw new HeadwaterError(
      'SOURCE_REFUSED',
      `More than ${REJECTED_MAX} values of the source cannot enter the log as they are, the last one is key ${JSON.stringify(key)} of ${collection}: ${error.message}`,
    )
  }

  /** Repeats what the log refuses for a reason that passes: it must be safe to repeat. */
  async persist<T>(attempt: () => Promise<T>): Promise<T> {
    const { origin, signal, onEvent } = this.#options
    let failed = false
    for (let waitMs = RETRY_MS.first; ; waitMs = Math.min(waitMs * 2, RETRY_MS.most)) {
      signal.throwIfAborted()
      try {
        // What failed may still be on its way, and must not arrive behind what is read now.
        if (failed) await origin.renew()
        return await attempt()
      } catch (error) {
        if (!isHeadwaterError(error) || !error.retryable) throw error
        failed = true
        onEvent({ kind: 'retrying', side: 'target', error })
      }
      await delay(waitMs, undefined, { signal }).catch(() => {})
    }
  }
}

function nameOf(collection: string, key: string): string {
  return `${collection}/${key}`
}

/** A value that never became one. */
class Unreadable {
  readonly key: string
  readonly #reason: string

  constructor(key: string, reason: string) {
    this.key = key
    this.#reason = reason
  }

  asError(collection: string): HeadwaterError {
    return new HeadwaterError(
      'VALUE_INVALID',
      `The value of key ${JSON.stringify(this.key)} of ${collection} cannot be mapped: ${this.#reason}.`,
    )
  }
}
