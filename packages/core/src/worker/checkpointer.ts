import { compareStamps, type Stamp } from '../change/stamp.ts'
import { isHeadwaterError } from '../errors/headwater-error.ts'
import { commit } from '../group/commit.ts'
import type { Lease, LeaseRequest } from '../group/lease.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import type { Dispatcher } from './dispatcher.ts'
import { Fenced } from './partition-end.ts'
import type { PartitionLife } from './partition-life.ts'
import type { PartitionObserver } from './partition-observer.ts'
import type { WithinLease } from './within-lease.ts'

export interface CheckpointerOptions {
  readonly request: LeaseRequest
  readonly lease: Lease
  readonly life: PartitionLife
  readonly observer: PartitionObserver
  readonly retry: Backoff
  readonly persist: WithinLease
  readonly dispatcher: Dispatcher
  /** Whether nothing is at the sink. */
  readonly isSinkIdle: () => boolean
  /** Lets the sink store that it stands here. */
  readonly advance: (stamp: Stamp) => Promise<void>
}

/** So long nothing may have happened before the sink is asked to store where it stands, in ms. */
const idleMs = 500

/**
 * Moves the checkpoint behind what is done, one commit at a time; when nothing is left to do, the position that the sink
 * stores itself too.
 */
export class Checkpointer {
  readonly #options: CheckpointerOptions
  #committed: Stamp
  #saved: Stamp
  /** The sink does not store where it stands, and there is no time left to ask it again. */
  #savesInVain = false

  /**
   * @param committed the checkpoint that the group has
   * @param saved what the sink has stored of it
   */
  constructor(options: CheckpointerOptions, committed: Stamp, saved: Stamp) {
    this.#options = options
    this.#committed = committed
    this.#saved = saved
  }

  /** Up to where everything is applied, superseded or parked, and Redis knows it. */
  get committed(): Stamp {
    return this.#committed
  }

  /** The sink has stored with a call that it stands here. */
  stored(stamp: Stamp): void {
    if (compareStamps(stamp, this.#saved) > 0) this.#saved = stamp
  }

  /** Goes on until the partition is given up; when it is handed over, until everything is committed. */
  async run(): Promise<void> {
    const { life, dispatcher, isSinkIdle } = this.#options
    for (;;) {
      const drained = life.stopping && isSinkIdle()
      if (life.brokenOff) return
      if (compareStamps(dispatcher.checkpoint, this.#committed) > 0) {
        await this.#commit()
        continue
      }
      const idle = dispatcher.waiting === 0 || drained
      if (idle && !this.#savesInVain && compareStamps(this.#saved, this.#committed) < 0) {
        if (!drained) {
          const before = this.#committed
          await life.changed.wait(idleMs)
          if (this.#committed !== before || compareStamps(dispatcher.checkpoint, before) > 0 || life.ending)
            continue
        }
        await this.#save()
        continue
      }
      const leftovers = dispatcher.takeFinished()
      if (leftovers.length > 0) {
        await this.#send(leftovers)
        continue
      }
      if (drained) return
      await life.changed.wait()
    }
  }

  async #commit(): Promise<void> {
    const { dispatcher, observer } = this.#options
    const { checkpoint } = dispatcher
    await this.#send(dispatcher.takeFinished(), checkpoint)
    this.#committed = checkpoint
    observer.checkpointed()
  }

  async #send(entries: readonly string[], checkpoint: Stamp = this.#committed): Promise<void> {
    const { request, lease, life, persist } = this.#options
    const sentAt = performance.now()
    const answer = await persist('moving the checkpoint', (client) =>
      commit(client, request, lease.token, { checkpoint, saved: this.#saved, entries }),
    )
    if (answer === 'fenced') throw new Fenced()
    life.renewed(sentAt)
  }

  /** Lets the sink store where it stands. That it fails now is no reason to stop: the next change stores it too. */
  async #save(): Promise<void> {
    const { life, advance, retry } = this.#options
    const saved = this.#committed
    try {
      await advance(saved)
    } catch (error) {
      if (isHeadwaterError(error, 'SINK_FENCED')) throw error
      this.#savesInVain = life.ending
      if (!life.ending) await life.changed.wait(backoffMs(retry, 5))
      return
    }
    this.#saved = saved
    await this.#send([])
  }
}
