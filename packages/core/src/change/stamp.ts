/**
 * The place of a change in its partition, and the only order that sinks, verification and repair compare.
 * The epoch rises when history may have forked (failover, restore); the sequence is dense within the
 * surviving history. A change of a later epoch is newer than any change of an earlier one.
 */
export interface Stamp {
  /** 1 at creation of the log, below 2^48: seconds and, in the lower 16 bits, whose they are. */
  readonly epoch: number
  /** 1 for the first change of the partition, below 2^48. */
  readonly sequence: number
}

/** By how much the number of an epoch rises a second: see epoch.lua. */
export const epochsInASecond = 65_536

/** The stamp before every change. */
export const stampZero: Stamp = Object.freeze({ epoch: 0, sequence: 0 })

/** Below 0 when `a` is older than `b`, 0 when they are equal, above 0 when `a` is newer. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.epoch - b.epoch || a.sequence - b.sequence
}

/**
 * A stamp as text of 25 characters that sort as stamps do, for targets that compare texts: Redis scripts, and most
 * databases. A fence sorts alike, with its token in place of the sequence.
 */
export function sortableStamp({ epoch, sequence }: Stamp): string {
  return `${epoch.toString(16).padStart(12, '0')}-${sequence.toString(16).padStart(12, '0')}`
}

/** The stamp that `sortableStamp` wrote; what stands behind it in the text is passed over. */
export function parseSortableStamp(text: string): Stamp {
  return { epoch: Number.parseInt(text.slice(0, 12), 16), sequence: Number.parseInt(text.slice(13, 25), 16) }
}
