import type { Stamp } from '../change/stamp.ts'
import { bucketSums } from '../state/bucket-sums.ts'

/**
 * An entry of the log that holds no change, but what the state beside the log summed up to at its place: so that every
 * sink can compare itself with the log at the same point of history, however late it comes there.
 */
export interface Marker {
  readonly partition: number
  /** A marker takes a sequence of its own: every reader of the log stays dense. */
  readonly stamp: Stamp
  /** When Redis stored it, ms since 1970. */
  readonly time: number
  /** By collection: the sum of the content hashes of each bucket. Without those that keep no state. */
  readonly sums: ReadonlyMap<string, readonly bigint[]>
}

/** What types begin with that are no collections. Programs that do not know them pass over them as over collections of others. */
export const reservedPrefix = 'headwater-'

/** The type of a marker, where batches have those of their changes. */
export const markerType = 'headwater-marker@1'

/**
 * Reads the payload that mark.lua writes: by collection the lanes of its digest, in hex.
 *
 * @returns undefined where it is none
 */
export function parseMarkerSums(payload: string, buckets: number): Marker['sums'] | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(payload)
  } catch {
    return undefined
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined
  const sums = new Map<string, readonly bigint[]>()
  for (const [collection, lanes] of Object.entries(parsed)) {
    if (typeof lanes !== 'string' || !/^([0-9a-f]{32})*$/.test(lanes)) return undefined
    sums.set(collection, bucketSums(Buffer.from(lanes, 'hex'), buckets))
  }
  return sums
}
