import type { PartitionArchive } from '../archive/partition-archive.ts'
import { decodeBatch, type Batch, type BatchContext, type StreamEntry } from '../change/batch.ts'
import type { Stamp } from '../change/stamp.ts'
import { isHeadwaterError, type HeadwaterError } from '../errors/headwater-error.ts'
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

/** An entry that cannot be decoded, and why. */
export interface UnreadableEntry {
  readonly id: string
  readonly unreadable: HeadwaterError
}

/** As it is read by whoever can do without what cannot be decoded. */
export function decodeEntry(options: RangeOptions, entry: StreamEntry): Batch | UnreadableEntry {
  try {
    return decodeBatch(options.partition, entry, options.context)
  } catch (error) {
    if (isHeadwaterError(error, 'LOG_DAMAGED')) return { id: entry[0], unreadable: error }
    throw error
  }
}

/** Entries in the order of the log, decoded as far as they can be. */
export async function readEntries(
  options: RangeOptions,
  from: string,
  count: number,
  to = '+',
): Promise<(Batch | UnreadableEntry)[]> {
  const { connection, keys, partition, deadlineMs, signal } = options
  const retrying = { doing: `reading partition ${partition}`, deadlineMs, ...(signal && { signal }) }
  const entries = await persist(connection, retrying, (client) =>
    client.xrange(keys.log, from, to, 'COUNT', count),
  )
  return (entries as StreamEntry[]).map((entry) => decodeEntry(options, entry))
}
