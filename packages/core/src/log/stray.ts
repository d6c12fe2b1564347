import type { Batch } from '../change/batch.ts'
import type { Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'

/**
 * What an entry that cannot be decoded takes the place of, by what is around it:
 *
 * - `nothing`: the sequence goes on without it; somebody else put it there
 * - `changes`: the sequence goes on behind its ID; it is a batch of ours that was damaged, and held all up to there
 * - `unknown`: neither is so
 */
export type StrayPlace = 'nothing' | 'changes' | 'unknown'

/**
 * @param last the change before it
 * @param id the entry's own
 * @param next the first batch behind it that can be decoded, if there is one
 * @param end the sequence of the log's newest change
 */
export function placeOfStray(
  last: Stamp,
  id: string,
  next: Pick<Batch, 'first'> | undefined,
  end: number,
): StrayPlace {
  const goesOnAt = next ? next.first : end + 1
  if (goesOnAt <= last.sequence + 1) return 'nothing'
  const stamp = stampOfEntry(id)
  if (!stamp || stamp.epoch < last.epoch || stamp.sequence <= last.sequence) return 'unknown'
  return goesOnAt === stamp.sequence + 1 ? 'changes' : 'unknown'
}

/** Undefined for IDs that are none of ours, such as those that Redis makes itself. */
export function stampOfEntry(id: string): Stamp | undefined {
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(id)
  return match ? { epoch: Number(match[1]), sequence: Number(match[2]) } : undefined
}

/** A batch that looks like ours, of an epoch that nobody has opened. */
export function strayEpoch({ id, partition }: Pick<Batch, 'id' | 'partition'>): HeadwaterError {
  return new HeadwaterError(
    'LOG_DAMAGED',
    `Entry ${id} of partition ${partition} is of an epoch that its header does not know, so it is none of ours: the next append says how to take it away.`,
  )
}
