import type { BatchContext } from '../change/batch.ts'
import type { Lease, LeaseRequest } from '../group/lease.ts'
import { Redriver } from '../parking/redriver.ts'
import type { Backoff } from '../redis/backoff.ts'
import type { Connection } from '../redis/connection.ts'
import type { Outcome } from '../sink/outcome.ts'
import type { Sink } from '../sink/sink.ts'
import type { Aside } from './aside.ts'
import type { Run } from './dispatcher.ts'
import type { HeldBack } from './held-back.ts'
import { Fenced } from './partition-end.ts'
import type { PartitionLife } from './partition-life.ts'
import type { PartitionObserver } from './partition-observer.ts'
import type { WorkerEvent } from './worker-event.ts'

export interface RedriveLoopOptions {
  readonly request: LeaseRequest
  readonly lease: Lease
  readonly partition: number
  readonly sink: Sink
  readonly connection: Connection
  readonly context: BatchContext
  readonly retry: Backoff
  readonly observer: PartitionObserver
  readonly onEvent: (event: WorkerEvent) => void
  readonly life: PartitionLife
}

/** What feeding back needs of the opened partition. */
export interface RedrivePort {
  readonly aside: Aside
  /** Live changes that wait for what is fed back. */
  readonly heldBack: HeldBack
  /** Runs one step of a parked key into the sink, when something may be offered to it. */
  readonly step: (work: () => Promise<void>) => Promise<void>
  readonly offer: (runs: readonly Run[]) => Promise<readonly Outcome[]>
}

/** Feeds parked keys back as often as somebody asks for them, beside the changes that come from the log. */
export class RedriveLoop {
  readonly #options: RedriveLoopOptions
  /** How often somebody asked, as far as it is known, and as far as it was looked after. */
  #asked = 0
  #done = -1

  constructor(options: RedriveLoopOptions) {
    this.#options = options
  }

  /** Somebody has asked for parked keys, so often by now. */
  asked(count: number): void {
    if (count === this.#asked) return
    this.#asked = count
    this.#options.life.changed.notify()
  }

  /** Goes on until the partition is given up. */
  async run(port: RedrivePort): Promise<void> {
    const { life } = this.#options
    const redriver = this.#redriver(port)
    while (!life.ending) {
      const asked = this.#asked
      if (this.#done === asked) {
        await life.changed.wait()
        continue
      }
      try {
        await redriver.run()
      } catch (error) {
        if (life.ending) return
        throw error
      } finally {
        port.heldBack.endAll()
      }
      this.#done = asked
    }
  }

  #redriver({ aside, heldBack, step, offer }: RedrivePort): Redriver {
    const { request, lease, partition, sink, observer, onEvent, life } = this.#options
    const { group } = request
    return new Redriver({
      ...this.#options,
      token: lease.token,
      collection: sink.collection.name,
      // Also where a group wants to see each change: a newer value is how a bad one is put right.
      coalesce: sink.takes !== 'events' && sink.collection.state !== 'none',
      limit: sink.capabilities.batch,
      signal: life.leaving,
      step,
      offer,
      feeding: (fields) => heldBack.begin(fields),
      freed: (field, key, changes) => {
        aside.delete(field)
        heldBack.release()
        observer.redriven()
        onEvent({ kind: 'redriven', group, partition, key, changes })
        life.changed.notify()
      },
      refused: (field, key, error) => {
        heldBack.end(field)
        observer.redriven()
        onEvent({ kind: 'redrive-refused', group, partition, key, error })
      },
      superseded: (count) => observer.superseded(count),
      fenced: () => new Fenced(),
    })
  }
}
