import { isHeadwaterError } from '../errors/headwater-error.ts'
import type { EventEncoder } from './event-stream.ts'
import type { FeedChange } from './feed-change.ts'
import type { FeedPosition } from './feed-position.ts'
import type { Subscription } from './subscription.ts'

export interface SseStreamOptions {
  readonly subscription: Subscription
  readonly encoder: EventEncoder
  readonly heartbeatMs: number
  readonly onEnd: () => void
}

/** Characters that are sent at once at most, and bytes that wait for a slow connection. */
const charactersAtOnce = 65_536
const bytesWaiting = 65_536
/** Within which time clients of a server that ends come back, in ms: spread, so that they do not come all at once. */
const comeBackMs = { min: 500, max: 5_000 }

/**
 * The event stream of one subscription. Events:
 *
 * - `snapshot`: what follows are the present values; forget what you had. Resets the id
 * - `change`: `{ key, kind, version, position, time?, value? }`; its id is where to go on behind it
 * - `live`: the snapshot is complete, or the feed has gone on from its position
 * - `must-refetch`: the feed cannot go on from the position; come back without one. Resets the id
 */
export class SseStream {
  readonly body: ReadableStream<Uint8Array>
  readonly #options: SseStreamOptions
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #begun = false
  #live = false
  #ending = false
  #ended = false
  #waiting: Promise<void> | undefined
  #wake: () => void = () => {}
  readonly #done: Promise<void>
  #settle: () => void = () => {}

  constructor(options: SseStreamOptions) {
    this.#options = options
    this.#done = new Promise((resolve) => (this.#settle = resolve))
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => this.#pull(),
        cancel: () => {
          this.#controller = undefined
          this.cancel()
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: bytesWaiting }),
    )
  }

  /** The client is gone, or does not read: nothing more is sent. */
  cancel(): void {
    this.#finish()
    this.#wake()
  }

  /** Ends the stream behind what is on its way, or at once where nobody reads it. */
  async end(): Promise<void> {
    this.#ending = true
    this.#wake()
    const timer = setTimeout(() => this.cancel(), 1_000)
    await this.#done
    clearTimeout(timer)
  }

  async #pull(): Promise<void> {
    const { encoder } = this.#options
    let text = ''
    while (text === '' && !this.#ended && !this.#ending) text = await this.#next()
    if (text !== '') await this.#send(encoder.encode(text))
    if (!this.#ending) return
    await this.#send(encoder.encode(farewell()))
    await this.#send(encoder.end())
    this.#finish()
  }

  async #send(encoded: Promise<Uint8Array>): Promise<void> {
    const bytes = await encoded
    if (bytes.length > 0 && !this.#ended) this.#controller?.enqueue(bytes)
  }

  /** What to send next; empty where there was nothing. */
  async #next(): Promise<string> {
    const { subscription } = this.#options
    if (!this.#begun) {
      this.#begun = true
      return subscription.inSnapshot ? 'event: snapshot\nid:\ndata:\n\n' : ': feed\n\n'
    }
    try {
      const text = this.#drain() || this.#liveEvent()
      if (text !== '') return text
      if ((await this.#more()) === 'silence') return ': still here\n\n'
      if (subscription.closed) this.#ending = true
      return ''
    } catch (error) {
      this.#ending = true
      // Another reason is nothing for strangers: the client comes back to it, or to a mended feed.
      return isHeadwaterError(error, 'MUST_REFETCH') ? 'event: must-refetch\nid:\ndata:\n\n' : ''
    }
  }

  #drain(): string {
    const { subscription } = this.#options
    let text = ''
    while (text.length < charactersAtOnce) {
      const change = subscription.shift()
      if (!change) break
      text += eventOf(change, idLine(subscription.position))
    }
    return text
  }

  #liveEvent(): string {
    const { subscription } = this.#options
    if (this.#live || subscription.inSnapshot || !subscription.position) return ''
    this.#live = true
    return `event: live\n${idLine(subscription.position)}data:\n\n`
  }

  /** Waits for the subscription, at most until it is time for a sign of life. */
  async #more(): Promise<'something' | 'silence'> {
    const { subscription, heartbeatMs } = this.#options
    // Kept when it rejects, for whoever asks next.
    this.#waiting ??= subscription.more().then(() => (this.#waiting = undefined))
    let timer: NodeJS.Timeout | undefined
    try {
      return await Promise.race([
        this.#waiting.then(() => 'something' as const),
        ...(this.#live ? [] : [subscription.live.then(() => 'something' as const)]),
        new Promise<'something'>((resolve) => (this.#wake = () => resolve('something'))),
        new Promise<'silence'>((resolve) => (timer = setTimeout(() => resolve('silence'), heartbeatMs))),
      ])
    } finally {
      clearTimeout(timer)
    }
  }

  #finish(): void {
    if (this.#ended) return
    this.#ended = true
    this.#controller?.close()
    this.#options.subscription.close()
    this.#options.onEnd()
    this.#settle()
  }
}

/** Within a snapshot there is nothing to go on from. */
function idLine(position: FeedPosition | undefined): string {
  return position ? `id: ${position}\n` : ''
}

/** What nobody can decode is told, and passed over: a subscriber who lost the stream over it would come back to it for ever. */
function eventOf(change: FeedChange, id: string): string {
  try {
    return `event: change\n${id}data: ${dataOf(change)}\n\n`
  } catch (error) {
    if (!isHeadwaterError(error, 'CHANGE_UNREADABLE')) throw error
    const { key, version, position } = change
    return `event: unreadable\n${id}data: ${JSON.stringify({ key, version, position })}\n\n`
  }
}

const dataTexts = new WeakMap<FeedChange, string>()

/** Made once for all subscribers of a change. */
function dataOf(change: FeedChange): string {
  let text = dataTexts.get(change)
  if (text === undefined) {
    const { key, kind, version, position, time, value } = change
    text = `{"key":${JSON.stringify(key)},"kind":"${kind}","version":"${version}","position":"${position}"${
      time === undefined ? '' : `,"time":${time}`
    }${kind === 'delete' ? '' : `,"value":${JSON.stringify(value)}`}}`
    dataTexts.set(change, text)
  }
  return text
}

function farewell(): string {
  const ms = Math.round(comeBackMs.min + Math.random() * (comeBackMs.max - comeBackMs.min))
  return `retry: ${ms}\n\n`
}
