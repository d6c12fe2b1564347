import { epochsInASecond, type Stamp } from '../change/stamp.ts'
import type { HeadwaterError } from '../errors/headwater-error.ts'
import {
  acquireLease,
  raiseEpoch,
  releaseLease,
  renewLease,
  type Lease,
  type LeaseRequest,
} from '../group/lease.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import type { Connection } from '../redis/connection.ts'
import { pause } from '../redis/persist.ts'
import type { GroupTroubles } from './group-troubles.ts'
import type { PartitionEnd } from './partition-end.ts'
import type { PartitionLoop } from './partition-loop.ts'
import type { PartitionSteering } from './turns.ts'
import type { WorkerEvent } from './worker-event.ts'

export interface HeldPartitionOptions {
  readonly partition: number
  readonly request: LeaseRequest
  readonly connection: Connection
  readonly troubles: GroupTroubles
  readonly onEvent: (event: WorkerEvent) => void
  /** Aborts when the worker stops. */
  readonly signal: AbortSignal
  /** Creates or checks the target. */
  readonly prepare: () => Promise<void>
  /** The loop that works under this lease, which was asked for then. */
  readonly loop: (lease: Lease, acquiredAt: number) => PartitionLoop
  /** Why it is handed over, when it is. */
  readonly whyReleased: () => Extract<WorkerEvent, { kind: 'released' }>['reason']
}

const betweenRestarts: Backoff = { firstMs: 50, maxMs: 5_000 }
/** A loop that ran this long was well: what ends it counts as a first failure. */
const wellAfterMs = 10_000
const shutOutSecondsMax = 2 ** 25

/**
 * A partition that this worker holds, from the lease that was granted until it is given back or lost: one loop after the
 * other, each under a token of its own.
 */
export class HeldPartition {
  readonly #options: HeldPartitionOptions
  #lease: Lease
  #loop: PartitionLoop | undefined
  #stopping = false
  #failedRenewals = 0
  #ended = Promise.resolve()

  constructor(options: HeldPartitionOptions, lease: Lease) {
    this.#options = options
    this.#lease = lease
  }

  /** Up to where everything is applied, superseded or parked. */
  get checkpoint(): Stamp {
    return this.#loop?.checkpoint ?? this.#lease.checkpoint
  }

  /** Whether the sink still gets its first copy. */
  get copying(): boolean {
    return this.#loop?.copying ?? false
  }

  steer(steering: PartitionSteering): void {
    this.#loop?.steer(steering)
  }

  /** Somebody has asked for parked keys, so often by now. */
  redrivesAsked(count: number): void {
    this.#loop?.redrivesAsked(count)
  }

  /** Nothing was appended since the last marker: where the sink stands there, it is looked at again. */
  lookAgain(): void {
    this.#loop?.lookAgain()
  }

  /** Hands it over, as soon as what is at the sink is done, or `budgetMs` is over. */
  giveUp(budgetMs: number): void {
    if (this.#stopping) return
    this.#stopping = true
    this.#loop?.stop(budgetMs)
  }

  /** Works on it for as long as the lease is ours and nobody wants it back. Never rejects. */
  hold(acquiredAt: number): Promise<void> {
    this.#ended = this.#hold(acquiredAt)
    return this.#ended
  }

  /** Settles when it is given back or lost. */
  get ended(): Promise<void> {
    return this.#ended
  }

  async #hold(firstAcquiredAt: number): Promise<void> {
    const { partition, request, connection, troubles, signal, onEvent, whyReleased } = this.#options
    const { group } = request
    const lost = (reason: string): void => onEvent({ kind: 'lost', group, partition, reason })
    let acquiredAt = firstAcquiredAt
    let failures = 0
    let shutOut = 0
    while (!this.#stopping) {
      const startedAt = performance.now()
      const end = await this.#work(acquiredAt)
      if (end.kind === 'stopped') break
      if (performance.now() - startedAt > wellAfterMs) failures = 0
      failures++
      if (end.kind === 'fenced') {
        lost(end.reason)
        break
      }
      if (end.kind === 'shut-out' && !(await this.#goAbove(2 ** shutOut++))) {
        lost(end.error.message)
        break
      }
      if (end.kind === 'damaged') await troubles.damaged(partition, request.keys, end.error)
      else if (failures === 1 || failures % 10 === 0) {
        onEvent({ kind: 'retrying', group, partition, error: end.error, attempt: failures })
      }
      await pause(backoffMs(betweenRestarts, failures), signal).catch(() => {})
      if (this.#stopping || signal.aborted) break
      // A new token for a new beginning: whatever of the old one is still under way is refused by the sink.
      acquiredAt = performance.now()
      const answer = await connection
        .attempt((client) => acquireLease(client, request), request.leaseMs / 3)
        .catch(() => undefined)
      if (!answer) continue
      if (answer.kind !== 'granted') {
        lost('another worker took the lease')
        break
      }
      this.#lease = answer.lease
    }
    await connection
      .attempt((client) => releaseLease(client, request, this.#lease.token), request.leaseMs / 3)
      .catch(() => {
        // The lease runs out by itself.
      })
    if (this.#stopping) onEvent({ kind: 'released', group, partition, reason: whyReleased() })
  }

  async #work(acquiredAt: number): Promise<PartitionEnd> {
    try {
      await this.#options.prepare()
    } catch (error) {
      return { kind: 'restart', error: error as HeadwaterError }
    }
    this.#loop = this.#options.loop(this.#lease, acquiredAt)
    if (this.#stopping) this.#loop.stop(0)
    const end = await this.#loop.run()
    this.#loop = undefined
    return end
  }

  /**
   * A sink does not let in whom the log gave the partition to. Where the log still says so, the newer fence was not given by
   * this log, but by a branch of it that was lost: an epoch above that branch's lets us in. How far above is not known: sinks
   * tell only that it is newer. False where the partition is not ours, and where even a year above did not help.
   */
  async #goAbove(seconds: number): Promise<boolean> {
    if (seconds > shutOutSecondsMax) return false
    const { connection, request } = this.#options
    const { token, epoch } = this.#lease
    try {
      const answer = await connection.attempt(
        (client) => renewLease(client, request, token),
        request.leaseMs / 3,
      )
      if (answer.kind !== 'granted') return false
      const above = epoch + (seconds - 1) * epochsInASecond
      await connection.attempt((client) => raiseEpoch(client, request.keys, above), request.leaseMs / 3)
    } catch {
      // Redis does not answer, so the lease cannot be had anew either: that is told then.
    }
    return true
  }

  /** Asks for more time. Never rejects. */
  async renew(sentAt: number): Promise<void> {
    const { partition, request, connection, troubles } = this.#options
    const loop = this.#loop
    const { token } = this.#lease
    try {
      const answer = await connection.attempt(
        (client) => renewLease(client, request, token),
        request.leaseMs / 3,
      )
      this.#failedRenewals = 0
      // Meanwhile the partition may have begun again under a new token.
      if (this.#loop !== loop) return
      if (answer.kind === 'granted') loop?.renewed(sentAt)
      else if (answer.kind === 'fenced') loop?.fence('another worker took the lease')
      else if (answer.kind === 'missing') {
        troubles.missing(partition)
        loop?.fence('the partition has lost its header or the group its record')
      }
    } catch (error) {
      this.#failedRenewals++
      troubles.failed(error, this.#failedRenewals, [partition])
    }
  }
}
