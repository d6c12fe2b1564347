import type { BatchContext } from '../change/batch.ts'
import type { CopySources } from '../copy/first-copy.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { assign } from '../group/assignment.ts'
import {
  acquireLease,
  releaseLease,
  type Lease,
  type LeaseAnswer,
  type LeaseRequest,
} from '../group/lease.ts'
import { leaveGroup, observeGroup, type Member } from '../group/membership.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { storedCollections } from '../namespace/metadata.ts'
import type { ParkingBounds } from '../parking/park.ts'
import { mark } from '../proof/mark.ts'
import { Prover, type Check } from '../proof/prover.ts'
import type { Backoff } from '../redis/backoff.ts'
import type { Connection } from '../redis/connection.ts'
import { pause } from '../redis/persist.ts'
import type { Sink } from '../sink/sink.ts'
import { readSteering, steeringFields, steeringOf, type GroupSteering } from '../steering/steering-state.ts'
import type { GroupTelemetry } from '../telemetry/group-telemetry.ts'
import type { HealthWatch } from './group-health.ts'
import { GroupTroubles } from './group-troubles.ts'
import { HeldPartition } from './held-partition.ts'
import { PartitionLoop } from './partition-loop.ts'
import { partitionObserver } from './partition-observer.ts'
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

/** This worker's part in one group: which partitions it holds, and keeping the right to them. */
export class GroupRunner {
  readonly #options: GroupRunnerOptions
  readonly #member: Member
  readonly #troubles: GroupTroubles
  readonly #held = new Map<number, HeldPartition>()
  readonly #abort = new AbortController()
  readonly #tickMs: number
  #running: Promise<void> | undefined
  #prepared: Promise<void> | undefined
  #lastRenewal = 0
  #steering: GroupSteering = steeringOf({ groups: {}, drained: {} }, '')
  #drained = false

  constructor(options: GroupRunnerOptions) {
    this.#options = options
    const { parts, group, worker, leaseMs } = options
    this.#member = { keys: parts.keys, group, worker, leaseMs }
    this.#troubles = new GroupTroubles(options)
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
      held: () => [...this.#held.keys()],
      onDifference: (found) => onEvent({ kind: 'edited', group, ...found }),
      signal: this.#abort.signal,
    })
  }

  /** Finishes what is at the sink within the budget, and hands everything over. */
  async stop(budgetMs: number): Promise<void> {
    this.#abort.abort(new HeadwaterError('CLOSED', 'The worker was stopped.'))
    await this.#running
    for (const held of this.#held.values()) held.giveUp(budgetMs)
    // Renewed on: a drain may take longer than a lease lasts.
    const renewing = setInterval(() => void this.#renew().catch(() => {}), this.#options.leaseMs / 3)
    try {
      await Promise.all([...this.#held.values()].map(({ ended }) => ended))
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
        this.#troubles.failed(error, failures, [...this.#held.keys()])
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
    for (const [partition, held] of this.#held) held.steer(this.#steeringOf(partition))
    this.#drained = drained
    if (drained) {
      for (const held of this.#held.values()) held.giveUp(leaseMs)
      return this.#tickMs
    }
    for (const [partition, held] of this.#held) held.redrivesAsked(redrives[partition] ?? 0)
    // Our own leases are what we hold, whatever Redis says of them: a lost one is noticed by its renewal.
    const owners = view.owners.map((owner, partition) =>
      this.#held.has(partition) ? view.me : owner === view.me ? undefined : owner,
    )
    const { claim, release } = assign({ ...view, owners })
    for (const partition of release) this.#held.get(partition)?.giveUp(leaseMs)
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
      return this.#troubles.unavailable(partition, error)
    }
    if (this.#abort.signal.aborted && answer.kind === 'granted') {
      await connection.attempt(
        (client) => releaseLease(client, this.#request(partition), answer.lease.token),
        leaseMs / 3,
      )
      return
    }
    if (answer.kind === 'missing') this.#troubles.missing(partition)
    if (answer.kind !== 'granted') return
    this.#troubles.available(partition)
    const held = this.#heldPartition(partition, answer.lease)
    this.#held.set(partition, held)
    onEvent({ kind: 'acquired', group, partition, token: answer.lease.token })
    void held.hold(acquiredAt).then(() => this.#held.delete(partition))
  }

  #heldPartition(partition: number, lease: Lease): HeldPartition {
    const { parts, connection, onEvent } = this.#options
    const { signal } = this.#abort
    return new HeldPartition(
      {
        partition,
        request: this.#request(partition),
        connection,
        troubles: this.#troubles,
        onEvent,
        signal,
        prepare: () => this.#prepare(),
        loop: (current, acquiredAt) =>
          new PartitionLoop({
            ...this.#options,
            namespace: parts.namespace,
            lineage: parts.metadata.lineage,
            partition,
            request: this.#request(partition),
            observer: partitionObserver(this.#options, partition),
            prover: this.#proverOf(partition, current.token),
            lease: current,
            steering: this.#steeringOf(partition),
            acquiredAt,
            openConnection: parts.openConnection,
            deadlineMs: parts.deadlineMs,
          }),
        whyReleased: () => (signal.aborted ? 'stopping' : this.#drained ? 'drained' : 'rebalanced'),
      },
      lease,
    )
  }

  /** Puts markers into the logs of the partitions that are held here, where nobody did for `everyMs`. */
  async mark(everyMs: number): Promise<void> {
    const { connection, parts } = this.#options
    const stored = await storedCollections(connection, parts.namespace, parts.deadlineMs)
    const names = stored.filter(({ state }) => state !== 'none').map(({ name }) => name)
    await Promise.all(
      [...this.#held].map(async ([partition, held]) => {
        const { keys } = this.#request(partition)
        const answer = await connection.attempt((client) => mark(client, keys, names, everyMs), 5_000)
        if (answer === 'unchanged') held.lookAgain()
      }),
    )
  }

  #proverOf(partition: number, token: number): Prover {
    const { parts, sink } = this.#options
    const onChecked = (check: Check): void => partitionObserver(this.#options, partition).checked(check)
    return new Prover({ parts, sink, request: this.#request(partition), token, partition, onChecked })
  }

  /** Asks Redis how far the partitions that are held here are behind, and how much is parked of them. */
  async observe(): Promise<void> {
    const { connection, parts, health, group } = this.#options
    const held = [...this.#held.keys()]
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
      const checkpoint = this.#held.get(partition)?.checkpoint
      if (!checkpoint) return []
      return [[partition, Math.max(0, Number(observed[index]![0]) - checkpoint.sequence)] as const]
    })
    const copying = held.filter((partition) => this.#held.get(partition)?.copying)
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

  /** Creates or checks the target, once; again after it failed. */
  #prepare(): Promise<void> {
    this.#prepared ??= (this.#options.sink.prepare?.() ?? Promise.resolve()).catch((error: unknown) => {
      this.#prepared = undefined
      throw error
    })
    return this.#prepared
  }

  /** Each lease by itself: on a Cluster, one master that is away must not cost the leases of the others. */
  async #renew(): Promise<void> {
    const sentAt = performance.now()
    this.#lastRenewal = sentAt
    await Promise.all([...this.#held.values()].map((held) => held.renew(sentAt)))
  }

  #request(partition: number): LeaseRequest {
    const { parts, group, worker, leaseMs } = this.#options
    return { keys: parts.keys.partitions[partition]!, group, owner: worker, leaseMs }
  }
}
