import type { Change } from '../change/change.ts'
import { stampZero, type Stamp } from '../change/stamp.ts'
import type { HeadwaterError } from '../errors/headwater-error.ts'
import { hasLateCall } from '../sink/guarded-partition.ts'
import { reject, type Outcome } from '../sink/outcome.ts'
import type { SinkPartition, SinkPosition } from '../sink/sink.ts'
import type { Branches } from './branches.ts'
import type { Run } from './dispatcher.ts'
import type { PartitionLife } from './partition-life.ts'
import type { PartitionObserver } from './partition-observer.ts'
import type { Presentation } from './presentation.ts'
import type { SinkTrouble } from './sink-trouble.ts'
import type { WorkerEvent } from './worker-event.ts'

export interface SinkCallsOptions {
  readonly group: string
  readonly partition: number
  readonly presentation: Presentation
  readonly observer: PartitionObserver
  readonly life: PartitionLife
  readonly trouble: SinkTrouble
  readonly onEvent: (event: WorkerEvent) => void
  readonly sinkPartition: SinkPartition
  readonly branches: Branches
}

/**
 * The calls of one partition at its sink: changes are shown as the sink takes them, observed, and a sink that refuses whole
 * calls is left alone for a while. A call that may never settle breaks the partition off: it is opened anew, and the call is
 * fenced.
 */
export class SinkCalls {
  readonly #options: SinkCallsOptions

  constructor(options: SinkCallsOptions) {
    this.#options = options
  }

  /**
   * Offers changes of the log; what cannot be shown to the sink counts as rejected.
   *
   * @param done up to where everything is done, for the sink to store
   * @returns an outcome for each run
   */
  async offer(runs: readonly Run[], done: Stamp): Promise<readonly Outcome[]> {
    const { presentation } = this.#options
    const stored = runs.map(({ change }) => change)
    if (presentation.asTheyAre(stored)) return await this.#hand(stored, runs, done)
    const presented = await presentation.present(stored)
    const changes = presented.flatMap((of) => ('change' in of ? [of.change] : []))
    if (changes.length === 0) return presented.map((of) => reject((of as { error: HeadwaterError }).error))
    const outcomes = await this.#hand(changes, runs, done)
    let at = 0
    return presented.map((of) => ('error' in of ? reject(of.error) : outcomes[at++]!))
  }

  #hand(changes: readonly Change[], runs: readonly Run[], done: Stamp): Promise<readonly Outcome[]> {
    const attempt = 1 + runs.reduce((most, { attempts }) => Math.max(most, attempts), 0)
    return this.#apply(changes, attempt, this.#options.branches.position(done))
  }

  /** Brings what the state holds. It says nothing of the position: only the whole copy does. */
  async copy(changes: readonly Change[]): Promise<readonly Outcome[]> {
    const outcomes = await this.#apply(changes, 1, { ...stampZero, branch: '' })
    if (outcomes.every(({ kind }) => kind === 'retry')) this.rest(outcomes[0]!)
    else this.#options.trouble.worked()
    return outcomes
  }

  async #apply(
    changes: readonly Change[],
    attempt: number,
    position: SinkPosition,
  ): Promise<readonly Outcome[]> {
    const { observer, sinkPartition, life } = this.#options
    const outcomes = await observer.apply(changes, attempt, () =>
      sinkPartition.apply(changes, position, { signal: life.signal }),
    )
    const [outcome] = outcomes
    if (outcome?.kind === 'retry' && hasLateCall(sinkPartition)) throw outcome.error
    return outcomes
  }

  /** The whole call was refused: the sink is in trouble, not a key. */
  rest(outcome: Outcome): void {
    const { group, partition, life, trouble, onEvent } = this.#options
    trouble.refused()
    const attempt = trouble.failedCalls
    if (outcome.kind !== 'retry' || life.ending) return
    if (attempt === 1 || attempt % 10 === 0) {
      onEvent({ kind: 'retrying', group, partition, error: outcome.error, attempt })
    }
  }
}
