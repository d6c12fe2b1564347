import { ConnectionLoop } from './connection-loop.ts'
import type { ServerEvent } from './server-events.ts'

/** `connecting` until the first copy is complete, then `live`; `waiting` between connections; `closed` at the end. */
export type LiveStatus = 'connecting' | 'live' | 'waiting' | 'closed'

/** What happened to a live collection. */
export type LiveEvent<T> =
  | {
      readonly kind: 'put'
      readonly key: string
      readonly value: T
      readonly previous: T | undefined
      readonly version: string
    }
  | { readonly kind: 'delete'; readonly key: string; readonly previous: T }
  | { readonly kind: 'status'; readonly status: LiveStatus }

export interface FollowOptions {
  /** Sent with each request; a function is asked anew each time, for tokens that run out. */
  readonly headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>)
  /** Default: the global one. */
  readonly fetch?: typeof fetch
  /** How long to wait at most before the first and before any later attempt to connect again, in ms. Default 500 and 15,000. */
  readonly reconnect?: { readonly firstMs?: number; readonly maxMs?: number }
  /** After which silence a connection counts as dead, in ms. Default 40,000: longer than two heartbeats of the server. */
  readonly silenceMs?: number
  /** Closes the collection. */
  readonly signal?: AbortSignal
}

/** A copy of a collection that follows the log. What it holds is always a state of each key, never half of one. */
export interface LiveCollection<T> extends Iterable<[key: string, value: T]> {
  readonly size: number
  readonly status: LiveStatus
  /** Settles when the first copy is complete. Rejects with `FeedRefusedError`, or when it is closed before. */
  readonly ready: Promise<void>
  get(key: string): T | undefined
  has(key: string): boolean
  keys(): IterableIterator<string>
  values(): IterableIterator<T>
  /** Calls the listener with everything that happens from now on. Returns what ends that. */
  subscribe(listener: (event: LiveEvent<T>) => void): () => void
  close(): void
}

interface Row<T> {
  readonly value: T
  readonly version: string
}

/** Follows what a feed handler serves at `url`, such as `/feed?collection=products`. */
export function followCollection<T>(url: string, options: FollowOptions = {}): LiveCollection<T> {
  return new FollowedCollection<T>(url, options)
}

class FollowedCollection<T> implements LiveCollection<T> {
  readonly ready: Promise<void>
  readonly #listeners = new Set<(event: LiveEvent<T>) => void>()
  readonly #abort = new AbortController()
  #rows = new Map<string, Row<T>>()
  /** A copy that is on its way: it takes the place of the one before when it is complete. */
  #fresh: Map<string, Row<T>> | undefined
  #status: LiveStatus = 'connecting'
  #settleReady: () => void = () => {}
  #rejectReady: (error: unknown) => void = () => {}

  constructor(
    url: string,
    { headers = {}, fetch: given = fetch, reconnect = {}, silenceMs = 40_000, signal }: FollowOptions,
  ) {
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = resolve
      this.#rejectReady = reject
    })
    this.ready.catch(() => {})
    if (signal?.aborted) this.close()
    else signal?.addEventListener('abort', () => this.close(), { once: true })
    const { firstMs = 500, maxMs = 15_000 } = reconnect
    new ConnectionLoop({
      url,
      // Unbound: browsers refuse a fetch that is called as a method.
      fetch: (...request) => given(...request),
      headers: typeof headers === 'function' ? headers : () => headers,
      firstMs,
      maxMs,
      silenceMs,
      signal: this.#abort.signal,
      onEvent: (event) => this.#take(event),
      onLost: () => this.#turn('waiting'),
    })
      .run()
      .catch((error: unknown) => {
        this.#rejectReady(error)
        this.close()
      })
  }

  get size(): number {
    return this.#rows.size
  }

  get status(): LiveStatus {
    return this.#status
  }

  get(key: string): T | undefined {
    return this.#rows.get(key)?.value
  }

  has(key: string): boolean {
    return this.#rows.has(key)
  }

  keys(): IterableIterator<string> {
    return this.#rows.keys()
  }

  *values(): IterableIterator<T> {
    for (const { value } of this.#rows.values()) yield value
  }

  *[Symbol.iterator](): IterableIterator<[string, T]> {
    for (const [key, { value }] of this.#rows) yield [key, value]
  }

  subscribe(listener: (event: LiveEvent<T>) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): void {
    this.#turn('closed')
    this.#abort.abort()
    this.#rejectReady(new Error('The live collection was closed.'))
  }

  #take({ type, data }: ServerEvent): void {
    switch (type) {
      case 'snapshot':
        this.#fresh = new Map()
        break
      case 'change':
        this.#apply(data)
        break
      case 'live':
        if (this.#fresh) this.#replace(this.#fresh)
        this.#turn('live')
        this.#settleReady()
        break
      default: // `must-refetch` has reset the id, and the server ends the stream; later servers may say more.
    }
  }

  #apply(data: string): void {
    const { key, kind, value, version } = JSON.parse(data) as Row<T> & { key: string; kind: string }
    if (this.#fresh) {
      if (kind === 'put') this.#fresh.set(key, { value, version })
      else this.#fresh.delete(key)
    } else if (kind === 'put') this.#put(key, { value, version })
    else this.#delete(key)
  }

  /** Takes a new copy over, and tells only what differs. */
  #replace(fresh: Map<string, Row<T>>): void {
    this.#fresh = undefined
    for (const key of this.#rows.keys()) if (!fresh.has(key)) this.#delete(key)
    for (const [key, row] of fresh) if (this.#rows.get(key)?.version !== row.version) this.#put(key, row)
  }

  #put(key: string, row: Row<T>): void {
    const previous = this.#rows.get(key)?.value
    this.#rows.set(key, row)
    this.#tell({ kind: 'put', key, value: row.value, previous, version: row.version })
  }

  #delete(key: string): void {
    const row = this.#rows.get(key)
    if (!row) return
    this.#rows.delete(key)
    this.#tell({ kind: 'delete', key, previous: row.value })
  }

  #turn(status: LiveStatus): void {
    if (this.#status === status || this.#status === 'closed') return
    this.#status = status
    this.#tell({ kind: 'status', status })
  }

  #tell(event: LiveEvent<T>): void {
    for (const listener of this.#listeners) {
      try {
        listener(event)
      } catch (error) {
        // One listener's mistake must not keep the copy, or the others, from going on.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
