/**
 * The place of a change in its partition, and the only order that sinks, verification and repair compare.
 * The epoch rises when history may have forked (failover, restore); the sequence is dense within the
 * surviving history. A change of a later epoch is newer than any change of an earlier one.
 */
export interface Stamp {
  /** 1 at creation of the log, below 2^32. */
  readonly epoch: number
  /** 1 for the first change of the partition, below 2^48. */
  readonly sequence: number
}

/** The stamp before every change. */
export const stampZero: Stamp = Object.freeze({ epoch: 0, sequence: 0 })

/** Below 0 when `a` is older than `b`, 0 when they are equal, above 0 when `a` is newer. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.epoch - b.epoch || a.sequence - b.sequence
}
