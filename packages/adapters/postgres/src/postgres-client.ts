import { HeadwaterError, isHeadwaterError } from '@headwater/core'

/** What a sink calls of a connection pool: the `Pool` of `pg`, or anything else with these members. Never closed by us. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>
  on(event: 'error', listener: (error: Error) => void): unknown
  listenerCount(event: 'error'): number
}

/** A connection taken from the pool. */
export interface PostgresClient {
  query(query: PostgresQuery): Promise<{ readonly rows: readonly PostgresRow[] }>
  /** Gives the connection back, or ends it when it is broken. */
  release(broken?: boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  /** The backend's process; without it a statement that takes too long is left to end by itself. */
  readonly processID?: number | null
}

export interface PostgresQuery {
  /** Prepares the statement once a connection. */
  readonly name?: string
  readonly text: string
  readonly values?: unknown[]
  readonly types?: { getTypeParser(): (text: string) => string }
}

/** A row as Postgres wrote it: texts. */
export type PostgresRow = Readonly<Record<string, string | null>>

/** Every statement begins with it, so that whoever looks at `pg_stat_activity` knows whose it is. We look there too. */
const signature = '/* headwater */'

export interface CallLimits {
  /** For the message of the error. */
  readonly sinkName: string
  /** How long the whole call may take, in ms, waiting for a connection included. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Runs `work` on a connection of the pool, and gives it back whatever happens. When time is up or the signal aborts,
 * the connection is ended and its backend is told to stop: behind a locked table every attempt would otherwise leave
 * one more backend waiting, until the server has no connection left.
 *
 * @throws HeadwaterError SINK_UNAVAILABLE when time is up or the signal aborts; else what `work` throws
 */
export async function withClient<R>(
  pool: PostgresPool,
  limits: CallLimits,
  work: (client: PostgresClient) => Promise<R>,
): Promise<R> {
  const end = new CallEnd(limits)
  let processID: number | null | undefined
  try {
    return await borrowClient(pool, end, (client) => {
      processID = client.processID
      return work(client)
    })
  } catch (error) {
    if (end.isReached && processID) void cancelBackend(pool, limits, processID).catch(ignore)
    throw error
  } finally {
    end.dispose()
  }
}

async function borrowClient<R>(
  pool: PostgresPool,
  end: CallEnd,
  work: (client: PostgresClient) => Promise<R>,
): Promise<R> {
  const client = await connect(pool, end)
  client.on('error', ignore)
  let broken = false
  try {
    return await Promise.race([work(client), end.reached])
  } catch (error) {
    // Our own errors are decisions, made over a connection that works. Of others we cannot know, and they are rare.
    broken = end.isReached || !isHeadwaterError(error)
    throw error
  } finally {
    // The pool listens again before ours is gone, as the connection may end in just this moment.
    client.release(broken)
    client.off('error', ignore)
  }
}

/** Runs one statement. What comes back are texts, whatever parsers the application has registered for its own queries. */
export async function query(
  client: PostgresClient,
  text: string,
  values: unknown[] = [],
  name?: string,
): Promise<readonly PostgresRow[]> {
  const types = { getTypeParser: () => (written: string) => written }
  const { rows } = await client.query({ text: `${signature} ${text}`, values, types, ...(name && { name }) })
  return rows
}

/** Runs `work` in one transaction, which sees what others commit between its statements, whatever the default is. */
export async function inTransaction<R>(client: PostgresClient, work: () => Promise<R>): Promise<R> {
  await query(client, 'BEGIN ISOLATION LEVEL READ COMMITTED')
  try {
    const result = await work()
    await query(client, 'COMMIT')
    return result
  } catch (error) {
    // Where the rollback fails too, the connection is gone, and the transaction with it.
    await query(client, 'ROLLBACK').catch(ignore)
    throw error
  }
}

/** Runs `work` on the database as it is when `work` begins, whatever others commit meanwhile. Nothing can be written. */
export async function inSnapshot<R>(client: PostgresClient, work: () => Promise<R>): Promise<R> {
  await query(client, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  try {
    // The first statement after BEGIN takes the snapshot.
    await query(client, 'SELECT')
    return await work()
  } finally {
    // Where this fails, the connection is gone, and the transaction with it.
    await query(client, 'ROLLBACK').catch(ignore)
  }
}

/** A pool without a listener ends the process when an idle connection breaks. The next statement meets that anyway. */
export function surviveIdleErrors(pool: PostgresPool): void {
  if (pool.listenerCount('error') === 0) pool.on('error', ignore)
}

/** Whether it was Postgres that answered with an error. */
export function isServerError(error: unknown): error is ServerError {
  return error instanceof Error && 'severity' in error && 'code' in error && typeof error.code === 'string'
}

/** As `pg` gives it. */
export interface ServerError extends Error {
  /** SQLSTATE. */
  readonly code: string
  readonly constraint?: string
  readonly column?: string
}

async function connect(pool: PostgresPool, end: CallEnd): Promise<PostgresClient> {
  const connecting = pool.connect()
  try {
    return await Promise.race([connecting, end.reached])
  } catch (error) {
    void connecting.then((late) => late.release(), ignore)
    throw error
  }
}

/** Process ids come again: only what still runs a statement of ours is stopped. */
async function cancelBackend(pool: PostgresPool, limits: CallLimits, processID: number): Promise<void> {
  const end = new CallEnd({ ...limits, signal: undefined })
  const text = `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
    WHERE pid = $1 AND pid <> pg_backend_pid() AND starts_with(query, $2)`
  try {
    await borrowClient(pool, end, (client) => query(client, text, [processID, signature]))
  } finally {
    end.dispose()
  }
}

/** The moment at which a call has to end: by time or by signal. */
class CallEnd {
  readonly reached: Promise<never>
  readonly #limits: CallLimits
  readonly #timer: NodeJS.Timeout
  readonly #abort: () => void
  #isReached = false

  constructor(limits: CallLimits) {
    const { sinkName, timeoutMs, signal } = limits
    const { promise, reject } = withRejection()
    const end = (reason: string, cause?: unknown) => {
      this.#isReached = true
      reject(new HeadwaterError('SINK_UNAVAILABLE', `The ${sinkName} ${reason}.`, { cause }))
    }
    this.#limits = limits
    this.reached = promise
    this.#abort = () => end('was left before it answered', signal?.reason)
    this.#timer = setTimeout(() => end(`did not answer within ${timeoutMs} ms`), timeoutMs)
    if (signal?.aborted) this.#abort()
    signal?.addEventListener('abort', this.#abort, { once: true })
  }

  get isReached(): boolean {
    return this.#isReached
  }

  dispose(): void {
    clearTimeout(this.#timer)
    this.#limits.signal?.removeEventListener('abort', this.#abort)
  }
}

function withRejection(): { promise: Promise<never>; reject: (error: Error) => void } {
  let reject!: (error: Error) => void
  const promise = new Promise<never>((_resolve, rejectPromise) => {
    reject = rejectPromise
  })
  // Nobody may be waiting any more when it comes.
  promise.catch(ignore)
  return { promise, reject }
}

function ignore(): void {}
