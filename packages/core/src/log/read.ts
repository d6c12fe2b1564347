import type { Batch } from '../change/batch.ts'
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
  if (limit <= 0) return
  let given = 0
  let after = from === 'beginning' ? undefined : last.sequence
  for await (const batch of batchesAfter(
    { ...options, signal },
    headerNow,
    from === 'beginning' ? undefined : last,
  )) {
    for (let at = Math.max(0, (after ?? 0) + 1 - batch.first); at < batch.changes.length; at++) {
      yield batch.changes[at]!
      if (++given >= limit) return
    }
    after = batch.last
  }
}

/** Batches in the order of the log, without a hole: from the log, and from the archive where the log was trimmed. */
async function* batchesAfter(
  options: RangeOptions,
  headerNow: () => Promise<Header>,
  after: Stamp | undefined,
): AsyncGenerator<Batch> {
  const { partition, archive, signal } = options
  // At the beginning, what retention removed is not missing; everywhere else a hole is damage.
  let last = after
  const follows = ({ first }: Batch): boolean => !last || first <= last.sequence + 1
  for (;;) {
    signal?.throwIfAborted()
    const { epoch, sequence } = last ?? stampZero
    const batches = await readRange(options, { epoch, sequence: sequence + 1 }, batchesAtOnce)
    const newer = batches.filter((batch) => batch.last > sequence)
    const [next] = newer
    if (!next || next.first > sequence + 1) {
      const header = await headerNow()
      if (header.trimmed > sequence) {
        let found = false
        for await (const batch of archive?.after(sequence, header) ?? []) {
          if (!follows(batch)) break
          yield batch
          last = { epoch: batch.epoch, sequence: batch.last }
          found = true
        }
        if (found) continue
        if (last) throw trimmedAway(partition, sequence, header.trimmed)
      }
      if (!next) return
      if (last) {
        throw new HeadwaterError(
          'LOG_DAMAGED',
          `Partition ${partition} lacks sequences ${sequence + 1} to ${next.first - 1}: they were trimmed or deleted.`,
        )
      }
    }
    for (const batch of newer) {
      if (!follows(batch)) break
      yield batch
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
