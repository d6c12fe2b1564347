import type { Change } from '../change/change.ts'
import type { Stamp } from '../change/stamp.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { readRange } from './range.ts'

/** The change of this stamp, by one seek; undefined where the log does not have it (any more). */
export async function changeAt(
  { connection, keys, deadlineMs, hasher, metadata, collections }: LogParts,
  partition: number,
  stamp: Stamp,
): Promise<Change | undefined> {
  const [batch] = await readRange(
    {
      connection,
      keys: keys.partitions[partition]!,
      partition,
      context: { hasher, partitions: metadata.partitions, buckets: metadata.buckets, collections },
      deadlineMs,
    },
    stamp,
    1,
  )
  return batch?.epoch === stamp.epoch ? batch.changes[stamp.sequence - batch.first] : undefined
}
