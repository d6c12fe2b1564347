import type { Change } from '../change/change.ts'
import { formatPosition, parsePosition, type Position } from '../change/position.ts'
import { stampZero, type Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { readHeader, survivedUpTo, type Header } from './header.ts'
import { readRange, type RangeOptions } from './range.ts'

export interface ReadOptions {
  /** Stop after this many changes. Default: at the end of the log. */
  readonly limit?: number
  readonly signal?: AbortSignal
}

const batchesAtOnce = 64

/**
 * The changes of a partition in order, up to the end that the log has when it is reached.
 *
 * @param from `beginning`, or the position after which to go on
 * @throws HeadwaterError HISTORY_TRIMMED where retention has removed what comes next; LOG_DAMAGED where changes are missing
 * otherwise, or the position is of history that was lost
 */
export async function* readPartition(
  options: RangeOptions,
  namespace: string,
  from: 'beginning' | Position,
  { limit = Number.POSITIVE_INFINITY, signal }: ReadOptions = {},
): AsyncGenerator<Change> {
  const { partition, connection, keys, deadlineMs } = options
  const headerNow = async (): Promise<Header> => {
    const header = await readHeader(connection, keys, deadlineMs)
    if (!header) throw missingHeader(namespace, partition)
    return header
  }
  const checkKept = async ({ sequence }: Stamp): Promise<void> => {
    const { trimmed } = await headerNow()
    if (trimmed > sequence) throw trimmedAway(partition, sequence, trimmed)
  }
  let last: Stamp = stampZero
  if (from !== 'beginning') {
    const position = parsePosition(from)
    if (position.partition !== partition) {
      throw new HeadwaterError(
        'POSITION_INVALID',
        `Position ${from} is of partition ${position.partition}, not ${partition}.`,
      )
    }
    const header = await headerNow()
    const survived = survivedUpTo(header, position)
    if (position.sequence > survived) {
      throw new HeadwaterError(
        'LOG_DAMAGED',
        `Position ${from} is of history that was lost: the log goes on after ${formatPosition(partition, { epoch: position.epoch, sequence: survived })}.`,
      )
    }
    last = position
  }
  // At the beginning, what retention removed is not missing; everywhere else a hole is damage.
  let anywhere = from === 'beginning'
  for (let given = 0; given < limit;) {
    signal?.throwIfAborted()
    const batches = await readRange(
      { ...options, signal },
      { epoch: last.epoch, sequence: last.sequence + 1 },
      batchesAtOnce,
    )
    if (batches.length === 0) {
      if (!anywhere) await checkKept(last)
      return
    }
    for (const batch of batches) {
      if (batch.last <= last.sequence) continue
      if (!anywhere && batch.first > last.sequence + 1) {
        await checkKept(last)
        throw new HeadwaterError(
          'LOG_DAMAGED',
          `Partition ${partition} lacks sequences ${last.sequence + 1} to ${batch.first - 1}: they were trimmed or deleted.`,
        )
      }
      const skip = anywhere ? 0 : last.sequence + 1 - batch.first
      anywhere = false
      for (let at = skip; at < batch.changes.length && given < limit; at++, given++) yield batch.changes[at]!
      last = { epoch: batch.epoch, sequence: batch.last }
    }
  }
}

function trimmedAway(partition: number, after: number, trimmed: number): HeadwaterError {
  return new HeadwaterError(
    'HISTORY_TRIMMED',
    `Partition ${partition} cannot be read after sequence ${after}: retention removed what comes up to sequence ${trimmed}.`,
  )
}
