import { compareStamps, type Stamp } from '../change/stamp.ts'

/**
 * How a key of a sink stands to the log.
 *
 * - `equal`: the same state, or absent on both sides
 * - `behind`: the log has something newer, which the sink's group has not reached yet
 * - `stale`: the log has something newer, which the sink should have
 * - `missing`: the log has the key, and the sink should have it
 * - `corrupt`: the same stamp, but another content
 * - `foreign`: unknown to the log, or newer than it
 * - `parked`: set aside with a reason; not compared
 */
export type Verdict = 'equal' | 'behind' | 'stale' | 'missing' | 'corrupt' | 'foreign' | 'parked'

/** What one side holds of a key; a deleted key has a stamp and hash 0. */
export interface Held {
  readonly stamp: Stamp
  readonly hash: bigint
  readonly deleted: boolean
}

/**
 * Judges one key. To be right while writes go on, the three must have been read in this order: the checkpoint, the sink's
 * row, the log's row. Then a row that is older than what the log has at or below the checkpoint is old beyond doubt.
 */
export function judge(
  checkpoint: Stamp,
  sink: Held | undefined,
  log: Held | undefined,
): Exclude<Verdict, 'parked'> {
  if (!log) return sink && !sink.deleted ? 'foreign' : 'equal'
  if (!sink) {
    if (log.deleted) return 'equal'
    return compareStamps(log.stamp, checkpoint) > 0 ? 'behind' : 'missing'
  }
  const order = compareStamps(log.stamp, sink.stamp)
  if (order === 0) return isSameState(sink, log) ? 'equal' : 'corrupt'
  if (order < 0) return 'foreign'
  // A sink forgets tombstones of its own accord; what both call deleted is equal whatever the stamps.
  if (log.deleted && sink.deleted) return 'equal'
  return compareStamps(log.stamp, checkpoint) > 0 ? 'behind' : 'stale'
}

/** Whether two sides that hold the same stamp hold the same under it. */
export function isSameState(a: Held, b: Held): boolean {
  return a.hash === b.hash && a.deleted === b.deleted
}
