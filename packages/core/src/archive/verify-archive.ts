import { readHeader } from '../log/header.ts'
import { logParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { missingHeader } from '../namespace/metadata.ts'
import type { ArchiveStore } from './archive-store.ts'
import { folderOf, readManifest } from './manifest.ts'
import { PartitionArchive } from './partition-archive.ts'

/** What of one partition is in an archive, and could be read. */
export interface ArchivedPartition {
  readonly partition: number
  readonly segments: number
  /** Compressed. */
  readonly bytes: number
  /** Changes of the log's present history; a failover may have lost others that are archived. */
  readonly changes: number
  /** Sequences of the first and the last of them; undefined where there is none. */
  readonly first: number | undefined
  readonly last: number | undefined
}

export interface ArchiveReadProgress {
  readonly partition: number
  readonly partitions: number
  /** Changes read so far, over all partitions. */
  readonly read: number
  /** Changes of this partition that are still to be read. */
  readonly left: number
}

/**
 * Reads everything that is archived of a log, checksums and continuity included.
 *
 * @throws HeadwaterError ARCHIVE_DAMAGED, naming segment and offset
 */
export async function verifyArchive(
  log: Log,
  store: ArchiveStore,
  onProgress: (progress: ArchiveReadProgress) => void = () => {},
): Promise<ArchivedPartition[]> {
  const { connection, keys, deadlineMs, hasher, metadata, collections, namespace } = logParts(log)
  const archived = { namespace, lineage: metadata.lineage }
  const context = { hasher, partitions: metadata.partitions, buckets: metadata.buckets, collections }
  const found: ArchivedPartition[] = []
  const { partitions } = metadata
  let readBefore = 0
  for (const [partition, of] of keys.partitions.entries()) {
    const header = await readHeader(connection, of, deadlineMs)
    if (!header) throw missingHeader(namespace, partition)
    const { segments } = await readManifest(store, folderOf(archived, partition), partition)
    let [changes, first, last]: [number, number | undefined, number | undefined] = [0, undefined, undefined]
    const read = new PartitionArchive({ store, log: archived, partition, context })
    for await (const batch of read.after(0, header)) {
      changes += batch.changes.length
      first ??= batch.first
      last = batch.last
      // A failover may have lost the end of what is archived.
      const left = Math.max(0, segments.at(-1)!.last.sequence - last)
      onProgress({ partition, partitions, read: readBefore + changes, left })
    }
    readBefore += changes
    const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
    found.push({ partition, segments: segments.length, bytes, changes, first, last })
  }
  return found
}
