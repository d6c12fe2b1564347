import { GroupTelemetry } from '../../packages/core/src/telemetry/group-telemetry.ts'
import type { NamespaceKeys } from '../../packages/core/src/namespace/keys.ts'
import type { LogParts } from '../../packages/core/src/namespace/log-parts.ts'
import { Connection } from '../../packages/core/src/redis/connection.ts'
import { guardSink } from '../../packages/core/src/sink/guarded-sink.ts'
import { HealthWatch } from '../../packages/core/src/worker/group-health.ts'
import { GroupRunner } from '../../packages/core/src/worker/group-runner.ts'
import { Presentation } from '../../packages/core/src/worker/presentation.ts'
import type { WorkerEvent } from '../../packages/core/src/worker/worker-event.ts'
import type { BatchContext } from '../../packages/core/src/change/batch.ts'
import type { Plan } from './plan.ts'
import { asRedisClient } from './redis-commands.ts'
import { SimulatedClient, type Network } from './simulated-client.ts'
import type { SimulatedRedis } from './simulated-redis.ts'
import type { SimulatedTarget } from './simulated-sink.ts'
import { actor, type Actor, type SimulatedTime } from './simulated-time.ts'

export interface SimulatedWorkerOptions {
  readonly name: string
  readonly plan: Plan
  readonly time: SimulatedTime
  readonly server: SimulatedRedis
  readonly target: SimulatedTarget
  readonly network: Network
  readonly keys: NamespaceKeys
  readonly context: BatchContext
  readonly group: string
  readonly onEvent: (event: WorkerEvent) => void
}

/** Unused by what is simulated: no first copies, no deciders, no markers. */
const absent = undefined as never

/** One worker process: the group runner of production, with a simulated network below it and a simulated target above it. */
export class SimulatedWorker {
  readonly actor: Actor
  readonly network: Network
  readonly #time: SimulatedTime
  readonly #clients: SimulatedClient[] = []
  readonly #runner: GroupRunner
  stopped = false

  constructor(options: SimulatedWorkerOptions) {
    const { name, plan, time, server, target, network, keys, context, group, onEvent } = options
    this.actor = actor(name)
    this.network = network
    this.#time = time
    const openConnection = (): Connection =>
      new Connection(() => {
        const client = new SimulatedClient(time, server, this.actor, network)
        this.#clients.push(client)
        return asRedisClient(client)
      })
    const connection = openConnection()
    const parts: LogParts = {
      namespace: 'simulated',
      metadata: {
        format: 1,
        partitions: plan.partitions,
        buckets: context.buckets,
        seed: 0n,
        lineage: '0',
        durability: 'memory',
        replicas: 0,
      },
      keys,
      collections: context.collections,
      hasher: context.hasher,
      connection,
      openConnection,
      producer: '',
      deadlineMs: 10_000,
      attemptMs: 3_000,
      resultsWindowMs: 1,
      archive: undefined,
    }
    const sink = guardSink(target.sinkOf(this.actor, network, plan.everyChange ? 'events' : 'state'), {
      applyTimeoutMs: plan.applyTimeoutMs,
    })
    const health = new HealthWatch(30_000)
    this.#runner = new GroupRunner({
      parts,
      context,
      connection,
      worker: name,
      group,
      sink,
      presentation: new Presentation(sink, absent),
      copySources: absent,
      health,
      telemetry: new GroupTelemetry(parts.namespace, group, health),
      leaseMs: plan.leaseMs,
      coalesce: !plan.everyChange,
      scrubKeysPerSecond: 0,
      concurrency: plan.concurrency,
      prefetch: { changes: 1_000, size: 1_048_576 },
      retry: { firstMs: 50, maxMs: 2_000 },
      parking: { keys: 1_000, changesOfKey: 1_000 },
      attemptsMax: 4,
      deathsMax: 3,
      onEvent,
    })
  }

  start(): void {
    this.#time.after(0, () => this.#runner.start(), this.actor)
  }

  /** Kills the process: what it sent is under way, and nothing else of it happens. */
  kill(): void {
    this.actor.alive = false
    for (const client of this.#clients) client.die()
  }

  cut(): void {
    this.#time.after(
      0,
      () => {
        for (const client of this.#clients) client.cut()
      },
      this.actor,
    )
  }

  stop(onStopped: () => void = () => {}): void {
    const stop = (): void => {
      void this.#runner.stop(1_000).then(() => {
        this.stopped = true
        onStopped()
      })
    }
    this.#time.after(0, stop, this.actor)
  }
}
