import type { NamespaceKeys } from '../namespace/keys.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import type { AppendTelemetry } from '../telemetry/append-telemetry.ts'
import { Batcher } from './batcher.ts'
import type { PreparedRequest } from './prepared.ts'

/** Where prepared appends go. */
export interface AppendTarget {
  /** Takes a request in and settles it. `replicas` must have it before it is acknowledged. */
  store(replicas: number, partition: number, request: PreparedRequest): void
  /** The remembered result of an earlier append, as the append script keeps it. */
  recall(partition: number, idempotencyField: string): Promise<string | undefined>
  /** Settles when nothing is waiting or on its way any more. */
  idle(): Promise<void>
  close(): void
}

export interface LanesOptions {
  readonly namespace: string
  readonly keys: NamespaceKeys
  /** Opens a connection of its own: for appends, and another for those that wait for replicas. */
  readonly openConnection: (purpose: string) => Connection
  readonly producer: string
  readonly deadlineMs: number
  readonly attemptMs: number
  readonly resultsWindowMs: number
  readonly telemetry: AppendTelemetry
}

interface Lane {
  readonly connection: Connection
  readonly batchers: (Batcher | undefined)[]
}

/** The ways to the partitions: a batcher for each, by required replicas. `WAIT` blocks, so each requirement has its own connection. */
export class Lanes implements AppendTarget {
  readonly #options: LanesOptions
  readonly #lanes = new Map<number, Lane>()

  constructor(options: LanesOptions) {
    this.#options = options
  }

  store(replicas: number, partition: number, request: PreparedRequest): void {
    this.#batcher(replicas, partition).add(request)
  }

  async recall(partition: number, idempotencyField: string): Promise<string | undefined> {
    const { keys, deadlineMs } = this.#options
    const options = { doing: 'reading the result of an earlier append', deadlineMs }
    for (const hash of keys.partitions[partition]!.results) {
      const text = await persist(this.#lane(0).connection, options, (client) =>
        client.hget(hash, idempotencyField),
      )
      if (text) return text
    }
    return undefined
  }

  async idle(): Promise<void> {
    for (const { batchers } of this.#lanes.values()) {
      await Promise.all(batchers.map(async (batcher) => batcher?.idle()))
    }
  }

  close(): void {
    for (const { connection } of this.#lanes.values()) connection.close()
  }

  #lane(replicas: number): Lane {
    let lane = this.#lanes.get(replicas)
    if (!lane) {
      lane = {
        connection: this.#options.openConnection(replicas === 0 ? 'append' : `append-${replicas}-replicas`),
        batchers: [],
      }
      this.#lanes.set(replicas, lane)
    }
    return lane
  }

  #batcher(replicas: number, partition: number): Batcher {
    const { namespace, keys, producer, resultsWindowMs, attemptMs, telemetry } = this.#options
    const lane = this.#lane(replicas)
    return (lane.batchers[partition] ??= new Batcher({
      namespace,
      partition,
      keys: keys.partitions[partition]!,
      connection: lane.connection,
      producer: `${producer}${replicas === 0 ? '' : `-${replicas}`}`,
      resultsWindowMs,
      onBatch: (changes) => telemetry.batch(partition, changes),
      attemptMs,
      replicas,
      // Shorter than an attempt: too few replicas is an answer, and not a dead connection.
      replicasTimeoutMs: Math.ceil(attemptMs / 2),
    }))
  }
}
