import type { Cluster, Redis } from 'ioredis'
import { HeadwaterError } from '../errors/headwater-error.ts'

/** Either client of ioredis: both carry the same commands. */
export type RedisClient = Redis | Cluster

/** An attempt took longer than its limit. Its outcome is unknown. */
export class AttemptTimeout extends Error {
  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`)
    this.name = 'AttemptTimeout'
  }
}

/**
 * One connection of ours, with a time limit around every attempt.
 *
 * ioredis cannot be trusted with a link that is open but dead: the command's promise may stay pending for ever,
 * and `disconnect` waits for a FIN that never comes. So an attempt that takes too long counts as the death of the
 * connection: the client is thrown away and a new one takes its place.
 */
export class Connection {
  readonly #create: () => RedisClient
  #client: RedisClient
  #lastError: Error | undefined
  #closed = false
  #becoming: { readonly client: RedisClient; readonly ready: Promise<void> } | undefined

  constructor(create: () => RedisClient) {
    this.#create = create
    this.#client = this.#start()
  }

  /** What the client complained about last: the reason behind "not connected". */
  get lastError(): Error | undefined {
    return this.#lastError
  }

  get closed(): boolean {
    return this.#closed
  }

  /**
   * Runs one command, once. Waits for the client to become ready first; both together take at most `timeoutMs`.
   *
   * @throws AttemptTimeout, or whatever the client rejects with
   */
  attempt<T>(command: (client: RedisClient) => Promise<T>, timeoutMs: number): Promise<T> {
    if (this.#closed)
      return Promise.reject(new HeadwaterError('CLOSED', 'The connection to Redis was closed.'))
    // ioredis gives up for good where the master is moved by Sentinels just while it connects.
    if (this.#client.status === 'end') this.replace()
    const client = this.#client
    if (client.status === 'ready') return this.#limit(client, command(client), timeoutMs)
    const startedAt = performance.now()
    return this.#ready(client, timeoutMs).then(() =>
      this.#limit(client, command(client), Math.max(1, timeoutMs - (performance.now() - startedAt))),
    )
  }

  /** Throws the client away, so that the next attempt begins on a fresh connection. */
  replace(): void {
    if (this.#closed) return
    const old = this.#client
    this.#client = this.#start()
    discard(old)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    discard(this.#client)
  }

  #start(): RedisClient {
    const client = this.#create()
    // Without a listener ioredis prints to stderr; the reason reaches callers through their rejected commands.
    client.on('error', (error: Error) => (this.#lastError = error))
    // While it is not ready every attempt listens to it, and there may be many: that is no leak.
    client.setMaxListeners(0)
    return client
  }

  /** Around every command, so it is one promise and one timer, where a race would be five promises. */
  #limit<T>(client: RedisClient, reply: Promise<T>, timeoutMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new AttemptTimeout(timeoutMs))
        if (client === this.#client) this.replace()
      }, timeoutMs)
      // Where it answers late, or rejects when its socket goes, nobody is left to hear it.
      reply.then(
        (value) => {
          clearTimeout(timer)
          resolve(value)
        },
        (error: Error) => {
          clearTimeout(timer)
          reject(error)
        },
      )
    })
  }

  /** One wait for all commands that came while the client connects: each would be a listener of its own. */
  #ready(client: RedisClient, timeoutMs: number): Promise<void> {
    if (this.#becoming?.client !== client) {
      this.#becoming = { client, ready: this.#settled(client) }
      this.#becoming.ready.catch(() => {}) // Heard by those who wait.
    }
    const { ready } = this.#becoming
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        // A client that never becomes ready may hang in a handshake with a dead server.
        if (client === this.#client) this.replace()
        reject(this.#notConnected())
      }, timeoutMs)
      ready.then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }

  #settled(client: RedisClient): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: Error): void => {
        client.off('ready', ready)
        client.off('end', ended)
        if (this.#becoming?.client === client) this.#becoming = undefined
        if (error) reject(error)
        else resolve()
      }
      const ready = (): void => done()
      const ended = (): void => done(this.#notConnected())
      client.once('ready', ready)
      client.once('end', ended)
    })
  }

  #notConnected(): Error {
    const reason = this.#lastError?.message ?? 'no answer to the handshake'
    return new Error(`Stream isn't writeable: not connected (${reason})`, { cause: this.#lastError })
  }
}

function discard(client: RedisClient): void {
  client.disconnect()
  // `disconnect` only ends the socket politely; on a dead link that would keep it, and its commands, for minutes.
  const { stream } = client as { stream?: { destroy?: () => void } }
  stream?.destroy?.()
}
