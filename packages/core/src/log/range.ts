import type { PartitionArchive } from '../archive/partition-archive.ts'
import { decodeBatch, type Batch, type BatchContext, type StreamEntry } from '../change/batch.ts'
import type { Stamp } from '../change/stamp.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'

export interface RangeOptions {
  readonly connection: Connection
  readonly keys: PartitionKeys
  readonly partition: number
  readonly context: BatchContext
  readonly deadlineMs: number
  readonly signal?: AbortSignal | undefined
  /** What was archived of this partition; undefined where no archive is configured. */
  readonly archive?: PartitionArchive | undefined
}

/**
 * Batches that hold this sequence or later ones. An entry's ID is its epoch and last sequence, so the place is one seek.
 *
 * @param from `epoch` is that of the change before, or an earlier one
 * @param to the last entry ID to read; default: the end of the log
 */
export async function readRange(
  options: RangeOptions,
  from: Stamp,
  count: number,
  to = '+',
): Promise<Batch[]> {
  const { connection, keys, partition, context, deadlineMs, signal } = options
  const retrying = { doing: `reading partition ${partition}`, deadlineMs, ...(signal && { signal }) }
  const start = `${from.epoch}-${from.sequence}`
  const entries = await persist(connection, retrying, (client) =>
    client.xrange(keys.log, start, to, 'COUNT', count),
  )
  return (entries as StreamEntry[]).map((entry) => decodeBatch(partition, entry, context))
}
