import type { Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { noteHand } from '../group/hand.ts'
import type { Lease, LeaseRequest } from '../group/lease.ts'
import { wasDropped } from '../parking/drop.ts'
import { parkedField } from '../parking/parked-key.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import { pause } from '../redis/persist.ts'
import type { Outcome } from '../sink/outcome.ts'
import type { SinkCapabilities } from '../sink/sink.ts'
import type { Aside } from './aside.ts'
import type { Dispatcher, Rejected, Run } from './dispatcher.ts'
import type { HeldBack } from './held-back.ts'
import type { Isolation } from './isolation.ts'
import type { MarkerLooks } from './marker-looks.ts'
import { endOf, Fenced } from './partition-end.ts'
import type { PartitionLife } from './partition-life.ts'
import type { PartitionObserver } from './partition-observer.ts'
import type { SinkCalls } from './sink-calls.ts'
import type { SinkTrouble } from './sink-trouble.ts'
import { Suspects } from './suspects.ts'
import type { Turns } from './turns.ts'
import type { WithinLease } from './within-lease.ts'

export interface ApplyLoopOptions {
  readonly request: LeaseRequest
  readonly lease: Lease
  /** The most that one call of the sink is given. */
  readonly limit: SinkCapabilities['batch']
  readonly observer: PartitionObserver
  readonly retry: Backoff
  /** So often a key may fail while the sink takes others. */
  readonly attemptsMax: number
  readonly persist: WithinLease
  readonly life: PartitionLife
  readonly turns: Turns
  readonly isolation: Isolation
  readonly trouble: SinkTrouble
  readonly dispatcher: Dispatcher
  readonly calls: SinkCalls
  readonly aside: Aside
  readonly heldBack: HeldBack
  /** By field: which changes were given up, for what is delivered again. */
  readonly dropped: Readonly<Record<string, string>>
  readonly looks: MarkerLooks
  /** Lets the sink be looked at, where it stands at a marker. */
  readonly look: () => Promise<void>
  /** The sink has stored that everything up to here is done. */
  readonly stored: (stamp: Stamp) => void
}

/**
 * Takes what the dispatcher has ready to the sink, in several calls at once, and settles what comes of it: taken, offered
 * again, or parked.
 */
export class ApplyLoop {
  readonly #options: ApplyLoopOptions
  readonly #suspects: Suspects
  readonly #anyDropped: boolean
  /** Calls that are under way. */
  #applying = 0

  constructor(options: ApplyLoopOptions) {
    this.#options = options
    this.#suspects = new Suspects(options.attemptsMax)
    this.#anyDropped = Object.keys(options.dropped).some((field) => field !== '')
  }

  /** Whether nothing is at the sink, and nothing of what was there is still to be settled. */
  get idle(): boolean {
    return this.#applying === 0
  }

  /** Goes on until the partition is given up; what is at the sink then is waited for. */
  async run(): Promise<void> {
    const { life, limit, turns, aside, dispatcher, looks } = this.#options
    while (!life.brokenOff) {
      if (life.stopping) {
        if (this.#applying === 0) return
        await life.changed.wait()
        continue
      }
      const waitMs = aside.full ? undefined : turns.untilMs()
      if (waitMs !== 0) {
        await life.changed.wait(waitMs)
        continue
      }
      // From here to the wait at the end nothing is awaited: what notifies meanwhile, such as a stop, would be missed.
      if (dispatcher.barrier || looks.again) {
        await this.#options.look()
        continue
      }
      const countMax = this.#isolating ? 1 : Math.min(limit.changes, turns.changesMax)
      const callsMax = this.#isolating ? 1 : turns.callsMax
      const goesAlone = this.#suspects.none ? undefined : (key: string) => this.#suspects.has(key)
      const runs = this.#applying < callsMax ? dispatcher.take(countMax, limit.bytes, goesAlone) : []
      turns.spend(runs.length)
      if (runs.length === 0) {
        await life.changed.wait()
        continue
      }
      this.#applying++
      void this.#applyRuns(runs)
        .catch((error: unknown) => life.breakOff(endOf(error)))
        .finally(() => {
          this.#applying--
          life.changed.notify()
        })
    }
    while (this.#applying > 0) await life.changed.wait()
  }

  async #applyRuns(runs: readonly Run[]): Promise<void> {
    const { dispatcher, isolation, aside, calls, observer } = this.#options
    // Names of fields are only made where one may be found.
    const all = aside.none && !this.#anyDropped && !isolation.hasCulprit
    const offered = all ? runs : await this.#sortOut(runs)
    if (offered.length === 0) return
    const done = dispatcher.checkpoint
    const isolated = this.#isolating
    if (isolated) await this.#noteHand(offered[0]!.change.stamp)
    const outcomes = await calls.offer(offered, done)
    if (isolated) await this.#noteHand(undefined)
    const sinkFailed = this.#weigh(offered, outcomes, done)
    let superseded = 0
    for (const [index, run] of offered.entries()) {
      const outcome = outcomes[index]!
      switch (outcome.kind) {
        case 'applied':
        case 'stale':
          dispatcher.settle(run)
          if (!this.#suspects.none) this.#suspects.taken(run.change.key)
          superseded += run.count - 1
          break
        case 'retry':
          if (!sinkFailed && this.#suspects.failed(run.change.key)) {
            const rejected = dispatcher.reject(run)
            if (rejected) await this.#park(rejected, this.#exhausted(outcome.error))
          } else {
            this.#postpone(run, sinkFailed)
          }
          break
        case 'gap':
        case 'reject': {
          const rejected = dispatcher.reject(run)
          if (rejected) await this.#park(rejected, outcome.error)
        }
      }
    }
    observer.superseded(superseded)
  }

  /** Leaves out what is not to be offered: what kills workers, what was given up, and what goes behind a parked change. */
  async #sortOut(runs: readonly Run[]): Promise<readonly Run[]> {
    const { dispatcher, isolation, aside, heldBack, dropped } = this.#options
    const parkedAlready: Run[] = []
    const offered: Run[] = []
    for (const run of runs) {
      const field = parkedField(run.change.collection, run.change.key)
      if (isolation.isCulprit(run.change.stamp)) {
        await this.#parkCulprit(run)
        continue
      }
      if (wasDropped(dropped[field], run.change.stamp)) dispatcher.settle(run)
      else (aside.has(field) ? parkedAlready : offered).push(run)
    }
    for (const run of parkedAlready) {
      const field = parkedField(run.change.collection, run.change.key)
      if (heldBack.hold(field, run)) continue
      const behind = new HeadwaterError('SINK_REJECTED', 'An earlier change of this key is parked.')
      await this.#park(dispatcher.divert(run), behind, { run })
    }
    return offered
  }

  /** What a call says of the sink. True where it has failed as a whole, by no doing of the key that stood alone in it. */
  #weigh(offered: readonly Run[], outcomes: readonly Outcome[], done: Stamp): boolean {
    const { calls, trouble, stored } = this.#options
    let [refused, taken] = [0, 0]
    for (const { kind } of outcomes) {
      if (kind === 'retry') refused++
      if (kind === 'applied' || kind === 'stale') taken++
    }
    // A sink that has rejected a whole call has stored nothing with it.
    if (refused === 0 && taken > 0) stored(done)
    if (refused < outcomes.length) {
      trouble.worked()
      this.#suspects.worked()
      return false
    }
    if (offered.length === 1 && this.#suspects.isOwn(offered[0]!.change.key)) return false
    calls.rest(outcomes[0]!)
    trouble.halve(offered.length)
    return true
  }

  #exhausted({ message, code }: HeadwaterError): HeadwaterError {
    const reason = message.replace(` [${code}]`, '')
    const error = `The sink took others, but not this key in ${this.#options.attemptsMax} attempts: ${reason}`
    return new HeadwaterError('ATTEMPTS_EXHAUSTED', error)
  }

  /** Whether changes go one at a time, because workers died one after the other where this one begins. */
  get #isolating(): boolean {
    return this.#options.isolation.follows(this.#options.dispatcher.checkpoint)
  }

  async #noteHand(stamp: Stamp | undefined): Promise<void> {
    const { request, lease, isolation, persist } = this.#options
    const hand = stamp && { stamp, deaths: isolation.deaths }
    const answer = await persist('noting what is in hand', (client) =>
      noteHand(client, request, lease.token, hand),
    )
    if (answer === 'fenced') throw new Fenced()
  }

  /** The last of the workers that died had this change alone in hand. */
  async #parkCulprit(run: Run): Promise<void> {
    const { dispatcher, isolation } = this.#options
    const rejected = dispatcher.reject(run)
    // It stood for older ones too: these go one by one first.
    if (rejected) await this.#park(rejected, isolation.convict())
  }

  #postpone(run: Run, withSink: boolean): void {
    const { dispatcher, retry, life } = this.#options
    dispatcher.postpone(run)
    if (withSink) return dispatcher.resume(run)
    pause(backoffMs(retry, run.attempts + 1), life.signal).then(
      () => {
        dispatcher.resume(run)
        life.changed.notify()
      },
      () => {}, // The partition is given up: nothing of it is offered again.
    )
  }

  /** @param behind the run that goes behind what is parked of its key already */
  async #park(rejected: Rejected, error: HeadwaterError, behind?: { readonly run: Run }): Promise<void> {
    const { aside, dispatcher } = this.#options
    const answer = await aside.setAside(rejected.changes, error, behind !== undefined)
    if (answer === 'aside') dispatcher.parked(rejected)
    // Fed back or given up since: what waits goes to the sink, as far as it is not set aside already.
    if (answer === 'absent') dispatcher.resume(behind!.run)
  }
}
