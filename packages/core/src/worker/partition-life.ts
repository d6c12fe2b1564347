import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Broken } from './partition-end.ts'
import { Signal } from './signal.ts'

/**
 * How long a worker may work on a partition: until it is stopped or something breaks it off, and nothing new begins while
 * its lease has run out.
 */
export class PartitionLife {
  /** Told of whatever a loop of the partition may be waiting for. */
  readonly changed: Signal = new Signal()
  readonly #leaseMs: number
  readonly #abort = new AbortController()
  readonly #leaving = new AbortController()
  #stopping = false
  #brokenOff: Broken | undefined
  /** By our own clock: after that another worker may have the partition. */
  #leaseEndsAt: number

  /** @param acquiredAt `performance.now()` before the lease was asked for */
  constructor(leaseMs: number, acquiredAt: number) {
    this.#leaseMs = leaseMs
    this.#leaseEndsAt = acquiredAt + leaseMs
  }

  /** Aborts when whatever is under way is to be dropped. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Aborts as soon as the partition is to be given up; what is at the sink has until `signal`. */
  get leaving(): AbortSignal {
    return this.#leaving.signal
  }

  /** Nothing new is begun; what is at the sink is finished and committed. */
  get stopping(): boolean {
    return this.#stopping
  }

  /** What broke it off, if anything did. */
  get brokenOff(): Broken | undefined {
    return this.#brokenOff
  }

  /** Whether the partition is being given up, for whatever reason. */
  get ending(): boolean {
    return this.#stopping || this.#brokenOff !== undefined
  }

  /** Lets what is at the sink finish until `budgetMs` is over. */
  stop(budgetMs: number): void {
    if (this.#stopping) return
    this.#stopping = true
    this.#leaving.abort(new HeadwaterError('CLOSED', 'The partition is handed over.'))
    const timer = setTimeout(
      () => this.#abort.abort(new HeadwaterError('CLOSED', 'The worker stopped before the sink answered.')),
      budgetMs,
    )
    timer.unref()
    this.signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
    this.changed.notify()
  }

  /** Drops everything. The first reason counts. */
  breakOff(why: Broken): void {
    this.#brokenOff ??= why
    const error = new HeadwaterError('CLOSED', 'The worker gave the partition up.')
    this.#leaving.abort(error)
    this.#abort.abort(error)
    this.changed.notify()
  }

  /** The lease was renewed by a request sent then. */
  renewed(sentAt: number): void {
    const ran = !this.hasLease(performance.now())
    this.#leaseEndsAt = Math.max(this.#leaseEndsAt, sentAt + this.#leaseMs)
    if (ran) this.changed.notify()
  }

  /** Whether nobody else can have the partition. */
  hasLease(now: number): boolean {
    return now <= this.#leaseEndsAt
  }

  /** Waits until something new may be started; false when the partition is given up. */
  async mayStart(): Promise<boolean> {
    while (!this.ending && !this.hasLease(performance.now())) await this.changed.wait()
    return !this.ending
  }
}
