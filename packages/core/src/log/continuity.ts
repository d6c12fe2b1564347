import type { Batch } from '../change/batch.ts'
import type { Stamp } from '../change/stamp.ts'
import { survivedUpTo, type Header } from './header.ts'

/** How a batch continues what was read so far. */
export type Continuation =
  /** It follows; its first `skip` changes are known already. */
  | { readonly kind: 'follows'; readonly skip: number }
  /** Everything in it is known already. */
  | { readonly kind: 'known' }
  /** Changes are missing in between: from this sequence up to before the batch. */
  | { readonly kind: 'gap'; readonly from: number }
  /** It is of a later epoch than what was read: only the header tells what that epoch inherited. */
  | { readonly kind: 'new-epoch' }

/**
 * Where a reader stands decides what a batch is, and not how the batch was delivered: Redis may deliver entries to a
 * reader that lost its lease, twice, or never.
 */
export function continuation(
  last: Stamp,
  { epoch, first, last: end }: Pick<Batch, 'epoch' | 'first' | 'last'>,
): Continuation {
  if (epoch > last.epoch) return { kind: 'new-epoch' }
  if (end <= last.sequence || epoch < last.epoch) return { kind: 'known' }
  if (first > last.sequence + 1) return { kind: 'gap', from: last.sequence + 1 }
  return { kind: 'follows', skip: last.sequence + 1 - first }
}

/**
 * Takes a reader over into a later epoch. What it read and that epoch did not inherit is lost history: the reader goes
 * back to where the histories part.
 */
export function enterEpoch(
  last: Stamp,
  epoch: number,
  header: Header,
): { readonly last: Stamp; readonly lost: number } {
  const survived = Math.min(last.sequence, survivedUpTo(header, last))
  return { last: { epoch, sequence: survived }, lost: last.sequence - survived }
}
