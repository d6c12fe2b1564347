import { RateLimit } from '../steering/rate-limit.ts'
import type { PartitionLife } from './partition-life.ts'
import type { SinkTrouble } from './sink-trouble.ts'

/** What somebody asked for at run time. */
export interface PartitionSteering {
  readonly paused: boolean
  /** Calls at the sink at once. */
  readonly concurrency: number
  /** Undefined without a limit. */
  readonly changesPerSecond: number | undefined
}

/**
 * When something may be offered to the sink, and how much of it: while the lease lasts, as somebody steers it, and not while
 * the sink rests.
 */
export class Turns {
  readonly #life: PartitionLife
  readonly #trouble: SinkTrouble
  readonly #rate = new RateLimit()
  #steering: PartitionSteering

  constructor(life: PartitionLife, trouble: SinkTrouble, steering: PartitionSteering) {
    this.#life = life
    this.#trouble = trouble
    this.#steering = steering
  }

  /** Works on as somebody asks for; false where that is nothing new. */
  steer(steering: PartitionSteering): boolean {
    const { paused, concurrency, changesPerSecond } = this.#steering
    if (
      steering.paused === paused &&
      steering.concurrency === concurrency &&
      steering.changesPerSecond === changesPerSecond
    )
      return false
    this.#steering = steering
    this.#rate.set(steering.changesPerSecond)
    this.#life.changed.notify()
    return true
  }

  /** The most calls at once. */
  get callsMax(): number {
    return this.#steering.concurrency
  }

  /** The most changes of the next call. */
  get changesMax(): number {
    return Math.min(this.#rate.available, this.#trouble.callMax)
  }

  /** So many changes are offered. */
  spend(changes: number): void {
    this.#rate.spend(changes)
  }

  /** In how many ms something may be offered; undefined: as soon as something changes. */
  untilMs(): number | undefined {
    const now = performance.now()
    if (this.#steering.paused || !this.#life.hasLease(now)) return undefined
    return Math.max(0, this.#trouble.restMs(now), this.#rate.waitMs)
  }

  /** Waits until something may be offered and nothing else holds it up. Rejects when the partition is given up. */
  async wait(isHeldUp: () => boolean): Promise<void> {
    for (;;) {
      this.#life.leaving.throwIfAborted()
      const waitMs = isHeldUp() ? undefined : this.untilMs()
      if (waitMs === 0) return
      await this.#life.changed.wait(waitMs)
    }
  }
}
