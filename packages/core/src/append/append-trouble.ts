import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { redisError, redisErrorKind, type RedisErrorKind } from '../redis/redis-error.ts'

/** One for all: to make an error costs more than the rest of a batch's bookkeeping, and most are never told. */
const notAnswered = new Error('not answered yet')

/**
 * What went wrong with a batch so far, and so what its requests may be told when it is given up. Once an attempt ended
 * without an answer the batch may be in the log, and no refusal of a later attempt makes that undone.
 */
export class AppendTrouble {
  readonly #doing: string
  #kind: RedisErrorKind = 'unsent'
  #error: unknown = notAnswered
  #inFlight = false
  #unconfirmed = false
  /** The log has it, but not under the durability asked for. */
  #stored: HeadwaterError | undefined
  /** Neither Redis nor the connection: our own verdict. */
  #own: HeadwaterError | undefined

  constructor(doing: string) {
    this.#doing = doing
  }

  /** An attempt was handed to the connection. */
  sent(): void {
    this.#inFlight = true
  }

  /** An attempt was answered. */
  answered(): void {
    this.#inFlight = false
  }

  /** Whether an attempt may have been executed whose answer did not come. */
  get inDoubt(): boolean {
    return this.#unconfirmed || this.#inFlight
  }

  /** An attempt failed. Returns whether another one may help. */
  met(error: unknown): boolean {
    const wasInFlight = this.#inFlight
    this.#inFlight = false
    if (isHeadwaterError(error, 'DURABILITY_NOT_REACHED')) {
      this.#stored = error
      return true
    }
    if (isHeadwaterError(error)) {
      this.#own = error
      return error.code === 'LOG_FULL'
    }
    this.#own = undefined
    this.#kind = redisErrorKind(error)
    this.#error = error
    if (wasInFlight && this.#kind === 'unknown') this.#unconfirmed = true
    return this.#kind !== 'final'
  }

  /** Whether the batch may be in the log, or is there. */
  get mayBeStored(): boolean {
    return this.#stored !== undefined || this.#unconfirmed || this.#inFlight
  }

  /** For requests of the batch. */
  verdict(): HeadwaterError {
    if (this.#stored) return this.#stored
    if (this.inDoubt) {
      return new HeadwaterError(
        'OUTCOME_UNKNOWN',
        `Redis did not confirm ${this.#doing} before the deadline: ${reasonOf(this.#error)}.`,
        { cause: this.#error },
      )
    }
    return this.verdictOfUnsent()
  }

  /** For requests that wait behind the batch. */
  verdictOfUnsent(): HeadwaterError {
    return this.#own ?? redisError(this.#kind, this.#doing, this.#error)
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
