import type { PartitionArchive } from '../archive/partition-archive.ts'
import { decodeBatch, type Batch, type BatchContext, type StreamEntry } from '../change/batch.ts'
import type { Stamp } from '../change/stamp.ts'
import { isHeadwaterError, type HeadwaterError } from '../errors/headwater-error.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { readHeader } from './header.ts'

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
 * Batches that hold this sequence or later ones. An entry's ID is its epoch and last sequence, so the place is one seek. What
 * somebody else has put between them is passed over, as long as nothing is missing around it.
 *
 * @param from `epoch` is that of the change before, or an earlier one
 * @throws HeadwaterError LOG_DAMAGED where an entry cannot be decoded that may have held what is missing
 */
export async function readRange(options: RangeOptions, from: Stamp, count: number): Promise<Batch[]> {
  const batches: Batch[] = []
  let next = from.sequence
  let stray: UnreadableEntry | undefined
  for (let start = `${from.epoch}-${from.sequence}`; ;) {
    const entries = await readEntries(options, start, count)
    for (const entry of entries) {
      if ('unreadable' in entry) {
        stray ??= entry
        continue
      }
      if (stray && entry.first > next) await checkTrimmed(options, entry.first - 1, stray)
      stray = undefined
      batches.push(entry)
      next = entry.last + 1
    }
    const isEnd = entries.length < count
    if (isEnd && stray) await checkEnd(options, next, stray)
    if (isEnd || batches.length > 0) return batches
    start = `(${entries.at(-1)!.id}`
  }
}

/** Whether what is missing up to there is what retention has removed, and not what the entry held. */
async function checkTrimmed(options: RangeOptions, upTo: number, stray: UnreadableEntry): Promise<void> {
  const header = await readHeader(options.connection, options.keys, options.deadlineMs)
  if (!header || header.trimmed < upTo) throw stray.unreadable
}

/** Whether the log ends before this sequence, or goes on behind the entry by now. */
async function checkEnd(options: RangeOptions, next: number, stray: UnreadableEntry): Promise<void> {
  const header = await readHeader(options.connection, options.keys, options.deadlineMs)
  if (header && header.sequence < next) return
  const behind = await readEntries(options, `(${stray.id}`, 1_000)
  if (behind.every((entry) => 'unreadable' in entry)) throw stray.unreadable
}

/** An entry that cannot be decoded, and why. */
export interface UnreadableEntry {
  readonly id: string
  readonly unreadable: HeadwaterError
}

/** As it is read by whoever can do without what cannot be decoded. */
export function decodeEntry(
  { partition, context }: Pick<RangeOptions, 'partition' | 'context'>,
  entry: StreamEntry,
): Batch | UnreadableEntry {
  try {
    return decodeBatch(partition, entry, context)
  } catch (error) {
    if (isHeadwaterError(error, 'LOG_DAMAGED')) return { id: entry[0], unreadable: error }
    throw error
  }
}

/** Redis refuses to read behind it. */
const behindAll = '(18446744073709551615-18446744073709551615'

/** Entries in the order of the log, decoded as far as they can be. */
export async function readEntries(
  options: RangeOptions,
  from: string,
  count: number,
  to = '+',
): Promise<(Batch | UnreadableEntry)[]> {
  if (from === behindAll) return []
  const { connection, keys, partition, deadlineMs, signal } = options
  const retrying = { doing: `reading partition ${partition}`, deadlineMs, ...(signal && { signal }) }
  const entries = await persist(connection, retrying, (client) =>
    client.xrange(keys.log, from, to, 'COUNT', count),
  )
  return (entries as StreamEntry[]).map((entry) => decodeEntry(options, entry))
}
