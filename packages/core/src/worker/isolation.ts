import { compareStamps, type Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Lease } from '../group/lease.ts'

/**
 * Where workers died one after the other, changes go one at a time, each noted before it is offered: so the change that the
 * last of them had alone in hand is known, and is parked. Pure.
 */
export class Isolation {
  /** So many workers died in a row, as a change that is noted now is told with. */
  readonly deaths: number
  /** Up to this sequence changes go one at a time; 0 where they need not. */
  readonly upTo: number
  #culprit: Stamp | undefined

  constructor({ hand, deaths, sequence }: Pick<Lease, 'hand' | 'deaths' | 'sequence'>, deathsMax: number) {
    // The one before isolated already: that its checkpoint moved meanwhile does not make it alive.
    this.deaths = hand ? hand.deaths + 1 : deaths
    this.upTo = this.deaths < deathsMax - 1 ? 0 : sequence
    this.#culprit = this.deaths < deathsMax ? undefined : hand?.stamp
  }

  /** Whether what follows the checkpoint goes one at a time. */
  follows(checkpoint: Stamp): boolean {
    return checkpoint.sequence < this.upTo
  }

  /** Whether the change is known that kills workers, and not parked yet. */
  get hasCulprit(): boolean {
    return this.#culprit !== undefined
  }

  /** Whether this is that change. */
  isCulprit(stamp: Stamp): boolean {
    return this.#culprit !== undefined && compareStamps(stamp, this.#culprit) === 0
  }

  /** Why it is parked; with that it is dealt with. */
  convict(): HeadwaterError {
    this.#culprit = undefined
    return new HeadwaterError(
      'WORKER_DIED',
      `${this.deaths} workers died one after the other, the last with nothing but this change in hand.`,
    )
  }
}
