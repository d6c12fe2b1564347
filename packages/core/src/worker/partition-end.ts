import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { AttemptTimeout } from '../redis/connection.ts'
import { redisError, redisErrorKind } from '../redis/redis-error.ts'
import { HistoryForked } from './partition-reader.ts'

/** Why a partition loop ended. */
export type PartitionEnd = { readonly kind: 'stopped' } | Broken

/** What breaks a partition loop off. */
export type Broken =
  /** Another worker owns the partition. */
  | { readonly kind: 'fenced'; readonly reason: string }
  /** Its sink was opened before with a newer fence than the one that the log has given us. */
  | { readonly kind: 'shut-out'; readonly error: HeadwaterError }
  /** It has to begin again from what the log and the sink say now. */
  | { readonly kind: 'restart'; readonly error: HeadwaterError }
  /** Changes that it needs are missing. */
  | { readonly kind: 'damaged'; readonly error: HeadwaterError }

/** Somebody else has the partition. */
export class Fenced extends Error {
  constructor() {
    super('another worker took the lease')
  }
}
/** The partition is to be opened anew. */
export class Restart extends Error {}
/** The sink does not let us in. */
export class ShutOut extends Error {
  override readonly cause: HeadwaterError

  constructor(cause: HeadwaterError) {
    super(cause.message)
    this.cause = cause
  }
}

/** What an error means for the loop that met it. */
export function endOf(error: unknown): Broken {
  if (error instanceof Fenced) return { kind: 'fenced', reason: error.message }
  if (error instanceof ShutOut) return { kind: 'shut-out', error: error.cause }
  if (error instanceof Restart)
    return { kind: 'restart', error: new HeadwaterError('LOG_DAMAGED', error.message) }
  if (error instanceof HistoryForked)
    return { kind: 'restart', error: new HeadwaterError('LOG_DAMAGED', error.message) }
  const told = isHeadwaterError(error)
    ? error
    : redisError(redisErrorKind(error), 'working on a partition', error)
  if (told.code === 'SINK_FENCED') return { kind: 'fenced', reason: told.message }
  return { kind: told.code === 'LOG_DAMAGED' ? 'damaged' : 'restart', error: told }
}

/** A read that may succeed when it is tried again; undefined for damage and forks, which it cannot mend. */
export function readFailure(error: unknown): HeadwaterError | undefined {
  if (error instanceof HistoryForked) return undefined
  if (isHeadwaterError(error)) return error.retryable ? error : undefined
  if (error instanceof AttemptTimeout) return redisError('unknown', 'reading the log', error)
  const kind = redisErrorKind(error)
  return kind === 'final' ? undefined : redisError(kind, 'reading the log', error)
}
