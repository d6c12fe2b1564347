import { FeedRefusedError } from './feed-refused-error.ts'
import { serverEvents, type ServerEvent } from './server-events.ts'

export interface ConnectionLoopOptions {
  readonly url: string
  readonly fetch: typeof fetch
  readonly headers: () => Record<string, string> | Promise<Record<string, string>>
  readonly firstMs: number
  readonly maxMs: number
  readonly silenceMs: number
  readonly signal: AbortSignal
  readonly onEvent: (event: ServerEvent) => void
  /** A connection was lost, or could not be made. */
  readonly onLost: () => void
}

/**
 * Keeps a stream open: connects again whenever it ends, breaks or falls silent, later and later and never at the same time
 * as everybody else, and goes on behind the last event that had an id.
 */
export class ConnectionLoop {
  readonly #options: ConnectionLoopOptions
  /** Where to go on; empty for the beginning. */
  #position = ''
  #failures = 0
  #retryMs: number | undefined
  #wake: () => void = () => {}

  constructor(options: ConnectionLoopOptions) {
    this.#options = options
  }

  /** Settles when the signal aborts; rejects when the server refuses for good. */
  async run(): Promise<void> {
    const { signal, onLost } = this.#options
    const wake = (): void => this.#wake()
    // A device that is back in its network need not wait.
    globalThis.addEventListener?.('online', wake)
    signal.addEventListener('abort', wake)
    try {
      while (!signal.aborted) {
        await this.#connect().catch((error: unknown) => {
          if (error instanceof FeedRefusedError) throw error
        })
        if (signal.aborted) return
        onLost()
        await this.#pause()
      }
    } finally {
      globalThis.removeEventListener?.('online', wake)
      signal.removeEventListener('abort', wake)
    }
  }

  async #connect(): Promise<void> {
    const { signal, silenceMs, onEvent } = this.#options
    const connection = new AbortController()
    const abort = (): void => connection.abort()
    let timer = setTimeout(abort, silenceMs)
    signal.addEventListener('abort', abort)
    try {
      const body = await this.#request(connection.signal)
      for await (const item of serverEvents(body)) {
        clearTimeout(timer)
        timer = setTimeout(abort, silenceMs)
        if (item === 'sign of life') continue
        if ('retryMs' in item) {
          this.#retryMs = item.retryMs
          continue
        }
        onEvent(item)
        if (item.id !== undefined) this.#position = item.id
        if (item.type === 'live') this.#failures = 0
      }
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      connection.abort()
    }
  }

  async #request(signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const { url, headers } = this.#options
    const separator = url.includes('?') ? '&' : '?'
    const from = this.#position ? `${separator}from=${encodeURIComponent(this.#position)}` : ''
    const response = await this.#options.fetch(url + from, {
      headers: { accept: 'text/event-stream', ...(await headers()) },
      signal,
      cache: 'no-store',
    })
    const { status, body } = response
    if (response.ok && body) return body
    const passing = status >= 500 || status === 408 || status === 429
    if (passing || response.ok) throw new Error(`The feed answered ${status}.`)
    const { code = '', message = `The feed answered ${status}.` } = (await response
      .json()
      .catch(() => ({}))) as {
      code?: string
      message?: string
    }
    if (code !== 'POSITION_INVALID' || !this.#position) throw new FeedRefusedError(status, code, message)
    // A server with another number of partitions than the one before: begin again.
    this.#position = ''
    throw new Error(message)
  }

  async #pause(): Promise<void> {
    const { firstMs, maxMs, signal } = this.#options
    const bound = Math.min(maxMs, firstMs * 2 ** this.#failures++)
    const ms = this.#retryMs ?? bound * Math.random()
    this.#retryMs = undefined
    if (signal.aborted) return
    let timer
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      timer = setTimeout(resolve, ms)
    })
    clearTimeout(timer)
  }
}
