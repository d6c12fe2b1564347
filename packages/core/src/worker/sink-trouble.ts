import { backoffMs, type Backoff } from '../redis/backoff.ts'

const callMost = 1_048_576

/** What calls that the sink refused as a whole mean for the next ones: they wait, longer each time, and are smaller. */
export class SinkTrouble {
  readonly #retry: Backoff
  #failedCalls = 0
  #restsUntil = 0
  #callMax = callMost

  constructor(retry: Backoff) {
    this.#retry = retry
  }

  /** The most changes of one call. */
  get callMax(): number {
    return this.#callMax
  }

  /** How many calls in a row it has refused. */
  get failedCalls(): number {
    return this.#failedCalls
  }

  /** In how many ms it may be asked again; 0 or less for now. */
  restMs(now: number): number {
    return this.#restsUntil - now
  }

  /** It has taken something of a call. */
  worked(): void {
    this.#failedCalls = 0
    this.#callMax = Math.min(callMost, this.#callMax * 2)
  }

  /** It has refused a call: it is left alone for a while. */
  refused(): void {
    this.#failedCalls++
    this.#restsUntil = performance.now() + backoffMs(this.#retry, this.#failedCalls)
  }

  /** One of so many changes may fail all of them: the next calls are smaller, until it stands alone. */
  halve(size: number): void {
    this.#callMax = Math.max(1, Math.floor(size / 2))
  }
}
