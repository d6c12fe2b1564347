import { HeadwaterError } from '../errors/headwater-error.ts'

/** Wall time that never goes back and follows what it has seen: milliseconds since 1970, and a counter within one. */
export interface HybridTime {
  readonly ms: number
  readonly counter: number
}

export function compareHybridTimes(a: HybridTime, b: HybridTime): number {
  return a.ms - b.ms || a.counter - b.counter
}

export interface HybridClockOptions {
  /** How far ahead of our clock a time may be that comes from elsewhere, in ms. Default 1,000. */
  readonly driftMsMax?: number
  /** Default: the system's clock. */
  readonly now?: () => number
}

/** A site's clock for its versions. */
export class HybridClock {
  readonly #driftMsMax: number
  readonly #now: () => number
  #last: HybridTime = { ms: 0, counter: 0 }

  constructor({ driftMsMax = 1_000, now = Date.now }: HybridClockOptions = {}) {
    this.#driftMsMax = driftMsMax
    this.#now = now
  }

  /** The time of a version that is written now: after every time that was given or admitted before. */
  next(): HybridTime {
    const ms = this.#now()
    const { ms: lastMs, counter } = this.#last
    this.#last = ms > lastMs ? { ms, counter: 0 } : { ms: lastMs, counter: counter + 1 }
    return this.#last
  }

  /**
   * Takes note of a time that comes from another site. One that is too far ahead is refused here, at the door: in an
   * election it would win for as long as its clock is wrong, and every node would have to agree on what is too far.
   *
   * @throws HeadwaterError CLOCK_DRIFT
   */
  admit(time: HybridTime): void {
    const ahead = time.ms - this.#now()
    if (ahead > this.#driftMsMax) {
      throw new HeadwaterError(
        'CLOCK_DRIFT',
        `A version is from ${ahead} ms ahead of our clock; ${this.#driftMsMax} ms are allowed. Set the clock of its site, or ours.`,
      )
    }
    if (compareHybridTimes(time, this.#last) > 0) this.#last = time
  }
}
