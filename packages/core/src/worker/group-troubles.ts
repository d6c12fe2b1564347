import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import type { Connection } from '../redis/connection.ts'
import { redisError, redisErrorKind } from '../redis/redis-error.ts'
import type { WorkerEvent } from './worker-event.ts'

export interface GroupTroublesOptions {
  readonly group: string
  readonly connection: Connection
  readonly onEvent: (event: WorkerEvent) => void
}

/** Tells what stands in the way of a group's partitions, and not again for each attempt that fails of it. */
export class GroupTroubles {
  readonly #options: GroupTroublesOptions
  /** Partitions whose header or record is lost or cannot be read. */
  readonly #unavailable = new Set<number>()

  constructor(options: GroupTroublesOptions) {
    this.#options = options
  }

  /** So many attempts in a row have failed to keep the leases of these partitions. */
  failed(error: unknown, attempt: number, partitions: readonly number[]): void {
    if (attempt !== 1 && attempt % 10 !== 0) return
    const { group, onEvent } = this.#options
    const told = isHeadwaterError(error)
      ? error
      : redisError(redisErrorKind(error), `keeping the leases of group ${group}`, error)
    for (const partition of partitions) onEvent({ kind: 'retrying', group, partition, error: told, attempt })
  }

  /** A partition cannot be had. Told once, until it is available. */
  unavailable(partition: number, error: HeadwaterError): void {
    if (this.#unavailable.has(partition)) return
    this.#unavailable.add(partition)
    const { group, onEvent } = this.#options
    onEvent({ kind: 'damaged', group, partition, error })
  }

  /** A partition cannot be had, because it or the group has lost what is stored of it. */
  missing(partition: number): void {
    const { group } = this.#options
    const error = new HeadwaterError(
      'LOG_DAMAGED',
      `Partition ${partition} has lost its header, or group ${group} its record: were keys flushed, deleted or evicted?`,
    )
    this.unavailable(partition, error)
  }

  available(partition: number): void {
    this.#unavailable.delete(partition)
  }

  /** Changes are missing. That is noted beside the group too, for whoever asks how it is. */
  async damaged(partition: number, keys: PartitionKeys, error: HeadwaterError): Promise<void> {
    const { connection, group, onEvent } = this.#options
    onEvent({ kind: 'damaged', group, partition, error })
    await connection
      .attempt((client) => client.hset(keys.group(group), 'damage', error.message), 1_000)
      .catch(() => {
        // Told as an event at least; the next round notes it again.
      })
  }
}
