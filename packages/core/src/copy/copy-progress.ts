import { stampZero, type Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { formatCheckpoint, parseCheckpoint } from '../group/checkpoint.ts'

/**
 * How far a group is with its first copy in one partition; kept in the field `copy` of the group's record while it copies.
 * Its checkpoint stands meanwhile at the position from which the log is read afterwards, so retention keeps what comes then.
 */
export interface CopyProgress {
  /** `now` copies nothing: only the sink has yet to learn where it begins. */
  readonly start: 'state' | 'now'
  /** Buckets of the state that are copied: those below this number. A copy that was cut short goes on here. */
  readonly bucket: number
  /** Keys copied, deleted ones included. */
  readonly copied: number
  /** Keys that there were when it began; 0 before they were counted. */
  readonly total: number
  /** The greatest stamp that was copied: a failover may lose what the copy has seen. */
  readonly newest: Stamp
}

export function formatCopyProgress({ newest, ...counts }: CopyProgress): string {
  return JSON.stringify({ ...counts, newest: formatCheckpoint(newest) })
}

/** @throws HeadwaterError LOG_DAMAGED */
export function parseCopyProgress(text: string): CopyProgress {
  try {
    const { start, bucket, copied = 0, total = 0, newest } = JSON.parse(text) as Record<string, unknown>
    const counts = { bucket: Number(bucket), copied: Number(copied), total: Number(total) }
    const isWhole = Object.values(counts).every((number) => Number.isSafeInteger(number) && number >= 0)
    if (isWhole && (start === 'state' || start === 'now')) {
      return { start, ...counts, newest: typeof newest === 'string' ? parseCheckpoint(newest) : stampZero }
    }
  } catch {
    // Told below.
  }
  throw new HeadwaterError(
    'LOG_DAMAGED',
    `A group's copy is noted as ${JSON.stringify(text.slice(0, 80))}, which is none.`,
  )
}
