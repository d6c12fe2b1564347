import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { backoffMs, type Backoff } from './backoff.ts'
import type { Connection, RedisClient } from './connection.ts'
import { redisError, redisErrorKind } from './redis-error.ts'

export interface PersistOptions {
  /** What is being done, for messages: "reading the state of products". */
  readonly doing: string
  /** How long to go on trying, in ms. */
  readonly deadlineMs: number
  /** How long one attempt may take, in ms. Default 3,000. */
  readonly attemptMs?: number
  readonly signal?: AbortSignal
}

export const attemptMsDefault = 3_000
const between: Backoff = { firstMs: 20, maxMs: 500 }

/**
 * Repeats a command until it answers or the deadline passes. Only for commands that are safe to repeat.
 *
 * @throws HeadwaterError REDIS_UNAVAILABLE, REDIS_FULL or REDIS_REFUSED; the signal's reason when it aborts
 */
export async function persist<T>(
  connection: Connection,
  options: PersistOptions,
  command: (client: RedisClient) => Promise<T>,
): Promise<T> {
  const { doing, deadlineMs, attemptMs = attemptMsDefault, signal } = options
  const endsAt = performance.now() + deadlineMs
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    try {
      const left = endsAt - performance.now()
      return await connection.attempt(command, Math.max(1, Math.min(attemptMs, left)))
    } catch (error) {
      if (isHeadwaterError(error)) throw error
      const kind = redisErrorKind(error)
      if (kind === 'final') throw redisError(kind, doing, error)
      const waitMs = backoffMs(between, attempt)
      if (performance.now() + waitMs >= endsAt) throw redisError(kind, doing, error)
      await pause(waitMs, signal)
    }
    if (connection.closed) throw new HeadwaterError('CLOSED', `The log was closed during ${doing}.`)
  }
}

/** Waits; ends early, by rejecting, when the signal aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, rejectEarly) => {
    if (signal?.aborted) return rejectEarly(signal.reason as Error)
    const aborted = (): void => {
      clearTimeout(timer)
      rejectEarly(signal?.reason as Error)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', aborted)
      resolve()
    }, ms)
    signal?.addEventListener('abort', aborted, { once: true })
  })
}
