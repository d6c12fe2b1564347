import type { BatchContext } from '../change/batch.ts'
import { formatPosition } from '../change/position.ts'
import { epochsInASecond } from '../change/stamp.ts'
import type { CopySources } from '../copy/first-copy.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { assign } from '../group/assignment.ts'
import {
  acquireLease,
  raiseEpoch,
  releaseLease,
  renewLease,
  type Lease,
  type LeaseAnswer,
  type LeaseRequest,
} from '../group/lease.ts'
import { leaveGroup, observeGroup, type Member } from '../group/membership.ts'
import type { LogParts } from '../namespace/log.ts'
import { storedCollections } from '../namespace/metadata.ts'
import type { ParkingBounds } from '../parking/park.ts'
import { mark } from '../proof/mark.ts'
import { Prover, type Check } from '../proof/prover.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import type { Connection } from '../redis/connection.ts'
import { pause } from '../redis/persist.ts'
import { redisError, redisErrorKind } from '../redis/redis-error.ts'
import type { Sink } from '../sink/sink.ts'
import { readSteering, steeringFields, steeringOf, type GroupSteering } from '../steering/steering-state.ts'
import type { PartitionEnd } from './partition-end.ts'
import { PartitionLoop } from './partition-loop.ts'
import type { GroupTelemetry } from '../telemetry/group-telemetry.ts'
import type { HealthWatch } from './group-health.ts'
import type { PartitionObserver } from './partition-observer.ts'
import type { Presentation } from './presentation.ts'
import { scrubHeld } from './scrub-loop.ts'
import type { PartitionSteering } from './turns.ts'
import type { WorkerEvent } from './worker-event.ts'

export interface GroupRunnerOptions {
  readonly parts: LogParts
  readonly context: BatchContext
  readonly connection: Connection
  readonly worker: string
  readonly group: string
  /** Guarded. */
  readonly sink: Sink
  readonly presentation: Presentation
  readonly copySources: CopySources
  readonly health: HealthWatch
  readonly telemetry: GroupTelemetry
  readonly leaseMs: number
  readonly coalesce: boolean
  readonly scrubKeysPerSecond: number
  readonly concurrency: number
  readonly prefetch: { readonly changes: number; readonly size: number }
  readonly retry: Backoff
  readonly parking: ParkingBounds
  readonly attemptsMax: number
  readonly deathsMax: number
  readonly onEvent: (event: WorkerEvent) => void
}

/** A partition that this worker holds, or is giving back. */
interface Holding {
  lease: Lease
  loop: PartitionLoop | undefined
  stopping: boolean
  failedRenewals: number
  ended: Promise<void>
}

const betweenRestarts: Backoff = { firstMs: 50, maxMs: 5_000 }
/** A loop that ran this long was well: what ends it counts as a first failure. */
const wellAfterMs = 10_000
const shutOutSecondsMax = 2 ** 25

/** This worker's part in one group: which partitions it holds, and keeping the right to them. */
export class GroupRunner {
  readonly #options: GroupRunnerOptions
  readonly #member: Member
  readonly #holdings = new Map<number, Holding>()
  readonly #abort = new AbortController()
  readonly #tickMs: number
  #running: Promise<void> | undefined
  #prepared: Promise<void> | undefined
  #lastRenewal = 0
  #steering: GroupSteering = steeringOf({ groups: {}, drained: {} }, '')
  #drained = false
  /** Partitions whose header or record is lost or cannot be read: told once. */
  readonly #unavailable = new Set<number>()

  constructor(options: GroupRunnerOptions) {
    this.#options = options
    const { parts, group, worker, leaseMs } = options
    this.#member = { keys: parts.keys, group, worker, leaseMs }
    this.#tickMs = Math.max(20, Math.min(1_000, Math.floor(leaseMs / 10)))
  }

  start(): void {
    this.#running ??= this.#run()
    void this.#scrub()
  }

  async #scrub(): Promise<void> {
    const { scrubKeysPerSecond: keysPerSecond, parts, sink, group, onEvent } = this.#options
    const isComparable = sink.read && sink.takes !== 'events' && sink.collection.state !== 'none'
    if (keysPerSecond === 0 || !isComparable) return
    await scrubHeld({
      parts,
      sink,
      group,
      keysPerSecond,
      held: () => [...this.#holdings.keys()],
      onDifference: (found) => onEvent({ kind: 'edited', group, ...found }),
      signal: this.#abort.signal,
    })
  }

  /** Finishes what is at the sink within the budget, and hands everything over. */
  async stop(budgetMs: number): Promise<void> {
    this.#abort.abort(new HeadwaterError('CLOSED', 'The worker was stopped.'))
    await this.#running
    const holdings = [...this.#holdings.values()]
    for (const holding of holdings) this.#giveUp(holding, budgetMs)
    // Renewed on: a drain may take longer than a lease lasts.
    const renewing = setInterval(() => void this.#renew().catch(() => {}), this.#options.leaseMs / 3)
    try {
      await Promise.all(holdings.map(({ ended }) => ended))
    } finally {
      clearInterval(renewing)
    }
    const { connection, parts, worker } = this.#options
    await connection
      .attempt(async (client) => {
        await leaveGroup(client, this.#member)
        // Its name does not come again.
        if (this.#drained) await client.hdel(parts.keys.steering, steeringFields.drained(worker))
      }, 1_000)
      .catch(() => {
        // The life sign runs out by itself.
      })
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort
    let failures = 0
    while (!signal.aborted) {
      let waitMs = this.#tickMs
      try {
        waitMs = await this.#tick()
        failures = 0
      } catch (error) {
        failures++
        this.#tellFailure(error, failures, [...this.#holdings.keys()])
      }
      await pause(waitMs, signal).catch(() => {})
    }
  }

  /** One round: life sign, renewal, and whatever there is to take or to give. Returns when to look again. */
  async #tick(): Promise<number> {
    const { connection, leaseMs, parts, group, worker } = this.#options
    if (performance.now() - this.#lastRenewal >= leaseMs / 3) await this.#renew()
    const steering = await connection.attempt((client) => readSteering(client, parts.keys), leaseMs / 3)
    this.#steering = steeringOf(steering, group)
    const drained = Object.hasOwn(steering.drained, worker)
    const { view, nextExpiryMs, redrives } = await connection.attempt(
      (client) => observeGroup(client, this.#member, drained),
      leaseMs / 3,
    )
    for (const [partition, { loop }] of this.#holdings) loop?.steer(this.#steeringOf(partition))
    this.#drained = drained
    if (drained) {
      for (const holding of this.#holdings.values()) this.#giveUp(holding, leaseMs)
      return this.#tickMs
    }
    for (const [partition, { loop }] of this.#holdings) loop?.redrivesAsked(redrives[partition] ?? 0)
    // Our own leases are what we hold, whatever Redis says of them: a lost one is noticed by its renewal.
    const owners = view.owners.map((owner, partition) =>
      this.#holdings.has(partition) ? view.me : owner === view.me ? undefined : owner,
    )
    const { claim, release } = assign({ ...view, owners })
    for (const partition of release) {
      const holding = this.#holdings.get(partition)
      if (holding) this.#giveUp(holding, leaseMs)
    }
    await Promise.all(claim.map((partition) => this.#claim(partition)))
    return Math.max(1, Math.min(this.#tickMs, nextExpiryMs + 1))
  }

  async #claim(partition: number): Promise<void> {
    const { connection, leaseMs, group, onEvent } = this.#options
    const acquiredAt = performance.now()
    let answer: LeaseAnswer
    try {
      answer = await connection.attempt(
        (client) => acquireLease(client, this.#request(partition)),
        leaseMs / 3,
      )
    } catch (error) {
      // What is stored of the group cannot be read: the other partitions go on.
      if (!isHeadwaterError(error, 'LOG_DAMAGED')) throw error
      return this.#tellOnce(partition, error)
    }
    if (this.#abort.signal.aborted && answer.kind === 'granted') {
      await connection.attempt(
        (client) => releaseLease(client, this.#request(partition), answer.lease.token),
        leaseMs / 3,
      )
      return
    }
    if (answer.kind === 'missing') this.#tellMissing(partition)
    if (answer.kind !== 'granted') return
    this.#unavailable.delete(partition)
    const holding: Holding = {
      lease: answer.lease,
      loop: undefined,
      stopping: false,
      failedRenewals: 0,
      ended: Promise.resolve(),
    }
    this.#holdings.set(partition, holding)
    onEvent({ kind: 'acquired', group, partition, token: answer.lease.token })
    holding.ended = this.#hold(partition, holding, acquiredAt)
  }

  /** Works on a partition for as long as the lease is ours and nobody wants it back. */
  async #hold(partition: number, holding: Holding, firstAcquiredAt: number): Promise<void> {
    const { connection, leaseMs, group, onEvent } = this.#options
    let acquiredAt = firstAcquiredAt
    let failures = 0
    let shutOut = 0
    while (!holding.stopping) {
      const startedAt = performance.now()
      const end = await this.#work(partition, holding, acquiredAt)
      if (end.kind === 'stopped') break
      if (performance.now() - startedAt > wellAfterMs) failures = 0
      failures++
      if (end.kind === 'fenced') {
        onEvent({ kind: 'lost', group, partition, reason: end.reason })
        break
      }
      if (end.kind === 'shut-out' && !(await this.#goAbove(partition, holding, 2 ** shutOut++))) {
        onEvent({ kind: 'lost', group, partition, reason: end.error.message })
        break
      }
      if (end.kind === 'damaged') await this.#noteDamage(partition, end.error)
      else if (failures === 1 || failures % 10 === 0) {
        onEvent({ kind: 'retrying', group, partition, error: end.error, attempt: failures })
      }
      await pause(backoffMs(betweenRestarts, failures), this.#abort.signal).catch(() => {})
      if (holding.stopping || this.#abort.signal.aborted) break
      // A new token for a new beginning: whatever of the old one is still under way is refused by the sink.
      acquiredAt = performance.now()
      const answer = await connection
        .attempt((client) => acquireLease(client, this.#request(partition)), leaseMs / 3)
        .catch(() => undefined)
      if (!answer) continue
      if (answer.kind !== 'granted') {
        onEvent({ kind: 'lost', group, partition, reason: 'another worker took the lease' })
        break
      }
      holding.lease = answer.lease
    }
    await connection
      .attempt((client) => releaseLease(client, this.#request(partition), holding.lease.token), leaseMs / 3)
      .catch(() => {
        // The lease runs out by itself.
      })
    if (holding.stopping)
      onEvent({
        kind: 'released',
        group,
        partition,
        reason: this.#abort.signal.aborted ? 'stopping' : this.#drained ? 'drained' : 'rebalanced',
      })
    this.#holdings.delete(partition)
  }

  /**
   * A sink does not let in whom the log gave the partition to. Where the log still says so, the newer fence was not given by
   * this log, but by a branch of it that was lost: an epoch above that branch's lets us in. How far above is not known: sinks
   * tell only that it is newer. False where the partition is not ours, and where even a year above did not help.
   */
  async #goAbove(partition: number, { lease }: Holding, seconds: number): Promise<boolean> {
    if (seconds > shutOutSecondsMax) return false
    const { connection, leaseMs } = this.#options
    const request = this.#request(partition)
    try {
      const answer = await connection.attempt(
        (client) => renewLease(client, request, lease.token),
        leaseMs / 3,
      )
      if (answer.kind !== 'granted') return false
      const above = lease.epoch + (seconds - 1) * epochsInASecond
      await connection.attempt((client) => raiseEpoch(client, request.keys, above), leaseMs / 3)
    } catch {
      // Redis does not answer, so the lease cannot be had anew either: that is told then.
    }
    return true
  }

  async #work(partition: number, holding: Holding, acquiredAt: number): Promise<PartitionEnd> {
    const { parts, context, connection, sink, onEvent } = this.#options
    try {
      await this.#prepare()
    } catch (error) {
      return { kind: 'restart', error: error as HeadwaterError }
    }
    holding.loop = new PartitionLoop({
      ...this.#options,
      namespace: parts.namespace,
      lineage: parts.metadata.lineage,
      partition,
      request: this.#request(partition),
      observer: this.#observer(partition),
      prover: this.#proverOf(partition, holding.lease.token),
      lease: holding.lease,
      steering: this.#steeringOf(partition),
      acquiredAt,
      sink,
      context,
      connection,
      openConnection: parts.openConnection,
      deadlineMs: parts.deadlineMs,
      onEvent,
    })
    if (holding.stopping) holding.loop.stop(0)
    const end = await holding.loop.run()
    holding.loop = undefined
    return end
  }

  /** Puts markers into the logs of the partitions that are held here, where nobody did for `everyMs`. */
  async mark(everyMs: number): Promise<void> {
    const { connection, parts } = this.#options
    const stored = await storedCollections(connection, parts.namespace, parts.deadlineMs)
    const names = stored.filter(({ state }) => state !== 'none').map(({ name }) => name)
    await Promise.all(
      [...this.#holdings].map(async ([partition, holding]) => {
        const { keys } = this.#request(partition)
        const answer = await connection.attempt((client) => mark(client, keys, names, everyMs), 5_000)
        if (answer === 'unchanged') holding.loop?.lookAgain()
      }),
    )
  }

  #proverOf(partition: number, token: number): Prover {
    const { parts, sink } = this.#options
    const onChecked = (check: Check): void => this.#observer(partition).checked(check)
    return new Prover({ parts, sink, request: this.#request(partition), token, partition, onChecked })
  }

  /** Asks Redis how far the partitions that are held here are behind, and how much is parked of them. */
  async observe(): Promise<void> {
    const { connection, parts, health, group } = this.#options
    const held = [...this.#holdings.keys()]
    const observed = await connection.attempt(
      (client) =>
        Promise.all(
          held.map((partition) => {
            const { header, parkedKeys } = parts.keys.partitions[partition]!
            return Promise.all([client.hget(header, 'sequence'), client.hlen(parkedKeys(group))])
          }),
        ),
      1_000,
    )
    const lags = held.flatMap((partition, index) => {
      const holding = this.#holdings.get(partition)
      if (!holding) return []
      const { sequence } = holding.loop?.checkpoint ?? holding.lease.checkpoint
      return [[partition, Math.max(0, Number(observed[index]![0]) - sequence)] as const]
    })
    const copying = held.filter((partition) => this.#holdings.get(partition)?.loop?.copying)
    // The empty field stands for nobody.
    const parked = held.map((partition, index) => [partition, Math.max(0, observed[index]![1] - 1)] as const)
    health.observed(new Map(lags), copying, new Map(parked))
  }

  /** How one partition is steered: its share of what the group may do. */
  #steeringOf(partition: number): PartitionSteering {
    const { paused, pausedPartitions, concurrency, changesPerSecond } = this.#steering
    const { parts, sink } = this.#options
    return {
      paused: paused || pausedPartitions.includes(partition),
      concurrency: Math.min(concurrency ?? this.#options.concurrency, sink.capabilities.concurrency),
      changesPerSecond: changesPerSecond && changesPerSecond / parts.metadata.partitions,
    }
  }

  #observer(partition: number): PartitionObserver {
    const { health, telemetry, group, onEvent } = this.#options
    return {
      async apply(changes, attempt, call) {
        const outcomes = await telemetry.apply(partition, changes, attempt, call)
        if (outcomes.some(({ kind }) => kind === 'retry')) health.progressed(partition)
        return outcomes
      },
      superseded: (count) => telemetry.superseded(partition, count),
      parked(count) {
        telemetry.parked(partition, count)
        health.progressed(partition)
      },
      redriven: () => health.progressed(partition),
      paused: (paused) => health.paused(partition, paused),
      stoodStill: (reason) => health.stoodStill(partition, reason),
      checkpointed: () => health.progressed(partition),
      checked: ({ result, reason, marker }) => {
        const before = health.checked(partition, result)
        if (result !== 'different' || before === 'different') return
        onEvent({
          kind: 'differs',
          group,
          partition,
          at: formatPosition(partition, marker.stamp),
          found: reason,
        })
      },
    }
  }

  /** Creates or checks the target, once; again after it failed. */
  #prepare(): Promise<void> {
    this.#prepared ??= (this.#options.sink.prepare?.() ?? Promise.resolve()).catch((error: unknown) => {
      this.#prepared = undefined
      throw error
    })
    return this.#prepared
  }

  #giveUp(holding: Holding, budgetMs: number): void {
    if (holding.stopping) return
    holding.stopping = true
    holding.loop?.stop(budgetMs)
  }

  /** Each lease by itself: on a Cluster, one master that is away must not cost the leases of the others. */
  async #renew(): Promise<void> {
    const sentAt = performance.now()
    this.#lastRenewal = sentAt
    await Promise.all(
      [...this.#holdings].map(([partition, holding]) => this.#renewOne(partition, holding, sentAt)),
    )
  }

  async #renewOne(partition: number, holding: Holding, sentAt: number): Promise<void> {
    const { connection, leaseMs } = this.#options
    const { loop, lease } = holding
    try {
      const answer = await connection.attempt(
        (client) => renewLease(client, this.#request(partition), lease.token),
        leaseMs / 3,
      )
      holding.failedRenewals = 0
      // Meanwhile the partition may have begun again under a new token.
      if (holding.loop !== loop) return
      if (answer.kind === 'granted') loop?.renewed(sentAt)
      else if (answer.kind === 'fenced') loop?.fence('another worker took the lease')
      else if (answer.kind === 'missing') {
        this.#tellMissing(partition)
        loop?.fence('the partition has lost its header or the group its record')
      }
    } catch (error) {
      holding.failedRenewals++
      this.#tellFailure(error, holding.failedRenewals, [partition])
    }
  }

  #request(partition: number): LeaseRequest {
    const { parts, group, worker, leaseMs } = this.#options
    return { keys: parts.keys.partitions[partition]!, group, owner: worker, leaseMs }
  }

  #tellFailure(error: unknown, failures: number, partitions: readonly number[]): void {
    if (failures !== 1 && failures % 10 !== 0) return
    const { group, onEvent } = this.#options
    const told = isHeadwaterError(error)
      ? error
      : redisError(redisErrorKind(error), `keeping the leases of group ${group}`, error)
    for (const partition of partitions)
      onEvent({ kind: 'retrying', group, partition, error: told, attempt: failures })
  }

  #tellMissing(partition: number): void {
    const { group } = this.#options
    const error = new HeadwaterError(
      'LOG_DAMAGED',
      `Partition ${partition} has lost its header, or group ${group} its record: were keys flushed, deleted or evicted?`,
    )
    this.#tellOnce(partition, error)
  }

  /** That a partition cannot be had, until it can. */
  #tellOnce(partition: number, error: HeadwaterError): void {
    if (this.#unavailable.has(partition)) return
    this.#unavailable.add(partition)
    const { group, onEvent } = this.#options
    onEvent({ kind: 'damaged', group, partition, error })
  }

  async #noteDamage(partition: number, error: HeadwaterError): Promise<void> {
    const { connection, group, onEvent } = this.#options
    onEvent({ kind: 'damaged', group, partition, error })
    const key = this.#request(partition).keys.group(group)
    await connection
      .attempt((client) => client.hset(key, 'damage', error.message), 1_000)
      .catch(() => {
        // Told as an event at least; the next round notes it again.
      })
  }
}
