import { hostname } from 'node:os'
import type { Batch, StreamEntry } from '../change/batch.ts'
import { compareStamps, stampZero, type Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import { continuation } from '../log/continuity.ts'
import { readHeader, survivedUpTo, type Header } from '../log/header.ts'
import { decodeEntry } from '../log/range.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { persist } from '../redis/persist.ts'
import type { ArchiveStore } from './archive-store.ts'
import { acquireRight, advance, endArchiving, releaseRight, type ArchiverRight } from './archiver-right.ts'
import { folderOf, readManifest, sweep, writeManifest, type Manifest, type SegmentEntry } from './manifest.ts'
import { checksumOf, packSegment, segmentSizeMax } from './segment.ts'

export interface ArchiveOptions {
  /** At how many characters a segment is closed, at most 16 Mi; the last one of a run is smaller. Default 8 Mi. */
  readonly segmentSize?: number
  /** Ends between two segments. */
  readonly signal?: AbortSignal
  /** Told after every segment. */
  readonly onProgress?: (progress: ArchiveProgress) => void
}

export interface ArchiveProgress {
  readonly partition: number
  readonly partitions: number
  /** Changes written so far, over all partitions. */
  readonly written: number
  /** Changes that this partition still has to be archived. */
  readonly left: number
}

/** What archiving did to one partition. */
export interface PartitionArchived {
  readonly partition: number
  /** Segments and changes that were written now. */
  readonly segments: number
  readonly changes: number
  /** Up to where the archive has everything. */
  readonly archived: Stamp
}

const segmentSizeDefault = 8 * 1_048_576
const entriesAtOnce = 16

/**
 * Writes what the log has and the archive has not, up to the present end. From the first call on nothing is trimmed that
 * is not in the archive. Can be killed at any point, and repeated; of several at a time one does a partition, the others
 * are refused.
 *
 * @throws HeadwaterError OPTION_INVALID, HOLD_TAKEN, ARCHIVE_DAMAGED where the archive lacks what was archived and is trimmed already,
 * LOG_DAMAGED; the signal's reason when it aborts; what the store throws
 */
export async function archive(
  log: Log,
  store: ArchiveStore,
  options: ArchiveOptions = {},
): Promise<PartitionArchived[]> {
  const { segmentSize = segmentSizeDefault } = options
  if (!Number.isInteger(segmentSize) || segmentSize < 1 || segmentSize > segmentSizeMax) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `segmentSize ${quoted(segmentSize)} must be an integer from 1 to ${segmentSizeMax}.`,
    )
  }
  const parts = logParts(log)
  const owner = `${hostname()}:${process.pid}:${parts.producer}`
  const done: PartitionArchived[] = []
  let written = 0
  for (let partition = 0; partition < log.partitions; partition++) {
    const folder = folderOf({ namespace: log.namespace, lineage: parts.metadata.lineage }, partition)
    const { token } = await readManifest(store, folder, partition)
    const right = await acquireRight(parts, partition, owner, token)
    const run = new ArchiverRun(parts, store, folder, right, options, written)
    try {
      done.push(await run.toEnd())
    } finally {
      // Where that cannot be told, the right expires.
      await releaseRight(parts, right).catch(() => {})
    }
    written += done.at(-1)!.changes
  }
  return done
}

/** Gives the archive up: what is not in it is held back no more, and what is in it stays there. */
export async function stopArchiving(log: Log): Promise<void> {
  for (let partition = 0; partition < log.partitions; partition++)
    await endArchiving(logParts(log), partition)
}

/** One partition, from what the archive has to the end of the log. */
class ArchiverRun {
  readonly #log: LogParts
  readonly #store: ArchiveStore
  readonly #right: ArchiverRight
  readonly #options: ArchiveOptions
  readonly #writtenBefore: number
  readonly #folder: string
  #manifest!: Manifest
  #header!: Header
  #last: Stamp = stampZero
  #changes = 0

  constructor(
    log: LogParts,
    store: ArchiveStore,
    folder: string,
    right: ArchiverRight,
    options: ArchiveOptions,
    writtenBefore: number,
  ) {
    this.#log = log
    this.#store = store
    this.#right = right
    this.#options = options
    this.#writtenBefore = writtenBefore
    this.#folder = folder
  }

  async toEnd(): Promise<PartitionArchived> {
    const { partition } = this.#right
    const { signal, onProgress } = this.#options
    this.#manifest = await readManifest(this.#store, this.#folder, partition)
    this.#header = await this.#readHeader()
    this.#begin()
    let segments = 0
    for (;;) {
      signal?.throwIfAborted()
      const batches = await this.#nextBatches()
      if (batches.length === 0) break
      await this.#write(batches)
      segments++
      onProgress?.({
        partition,
        partitions: this.#log.metadata.partitions,
        written: this.#writtenBefore + this.#changes,
        left: Math.max(0, this.#header.sequence - this.#last.sequence),
      })
    }
    // Somebody who was killed before he could say so may have written all of it.
    if (segments === 0 && compareStamps(this.#last, this.#right.archived) !== 0) {
      await this.#list(this.#manifest.segments)
      await advance(this.#log, this.#right, this.#last)
    }
    await sweep(this.#store, this.#folder, this.#manifest)
    return { partition, segments, changes: this.#changes, archived: this.#last }
  }

  /** Goes on where the manifest ends, as far as that is in the log's history. */
  #begin(): void {
    const { archived, partition, from } = this.#right
    const newest = this.#manifest.segments.at(-1)
    const survived = (stamp: Stamp): Stamp => {
      const upTo = survivedUpTo(this.#header, stamp)
      return upTo < stamp.sequence ? { epoch: stamp.epoch, sequence: upTo } : stamp
    }
    this.#last = survived(newest?.last ?? stampZero)
    if (this.#last.sequence >= this.#header.trimmed) return
    if (from >= this.#header.trimmed) {
      // Archiving has just begun (again), and begins where the log does by now.
      this.#last = survived(archived)
      return
    }
    throw new HeadwaterError(
      'ARCHIVE_DAMAGED',
      `The archive in ${this.#store.name} ends at sequence ${this.#last.sequence} of partition ${partition}, but the log is trimmed up to ${this.#header.trimmed}: is it another archive than before, or was it set back? Bring it back, or give archiving up by \`headwater archive stop\` and begin a new one.`,
    )
  }

  /** As many as fill a segment, fewer at the end of the log. */
  async #nextBatches(): Promise<Raw[]> {
    const { connection, keys, deadlineMs, hasher, metadata, collections } = this.#log
    const { partition } = this.#right
    const { signal, segmentSize = segmentSizeDefault } = this.#options
    const retrying = { doing: `reading partition ${partition}`, deadlineMs, ...(signal && { signal }) }
    const context = { hasher, partitions: metadata.partitions, buckets: metadata.buckets, collections }
    const batches: Raw[] = []
    let at = this.#last
    let start = `${at.epoch}-${at.sequence + 1}`
    for (let size = 0; size < segmentSize;) {
      const entries = (await persist(connection, retrying, (client) =>
        client.xrange(keys.partitions[partition]!.log, start, '+', 'COUNT', entriesAtOnce),
      )) as StreamEntry[]
      if (entries.length === 0) break
      for (const entry of entries) {
        // Read as everybody reads it: what the log cannot give back, the archive could not either.
        const batch = decodeEntry({ partition, context }, entry)
        // Nothing of the sequence, or the next batch lacks what was in it.
        if ('unreadable' in batch) continue
        if (batch.epoch > this.#header.epoch) this.#header = await this.#readHeader()
        const follows = continuation({ epoch: batch.epoch, sequence: at.sequence }, batch)
        if (follows.kind === 'known') continue
        if (follows.kind !== 'follows') throw lacks(batch, at.sequence)
        batches.push({ entry, batch })
        // All of it: somebody else may have added fields.
        size += (entry[1] ?? []).reduce((sum, text) => sum + text.length, 0)
        at = { epoch: batch.epoch, sequence: batch.last }
        if (size >= segmentSize) break
      }
      start = `(${entries.at(-1)![0]}`
    }
    return batches
  }

  /** First the segment, then the manifest that lists it, then the word that it may be trimmed. */
  async #write(batches: readonly Raw[]): Promise<void> {
    const [{ batch: first }, { batch: last }] = [batches[0]!, batches.at(-1)!]
    const { token } = this.#right
    const piece = await packSegment(batches.map(({ entry }) => entry))
    const segment: SegmentEntry = {
      file: `${first.first}-${last.epoch}-${last.last}.${token}.ndjson.gz`,
      entries: batches.length,
      first: first.first,
      last: { epoch: last.epoch, sequence: last.last },
      from: first.time,
      to: last.time,
      bytes: piece.length,
      sha256: checksumOf(piece),
    }
    await this.#store.write(`${this.#folder}/${segment.file}`, piece)
    await this.#list([...this.#manifest.segments, segment])
    await advance(this.#log, this.#right, segment.last)
    this.#changes += last.last - Math.max(first.first, this.#last.sequence + 1) + 1
    this.#last = segment.last
  }

  /** Under our own token: from then on what those before us write is not looked at any more. */
  async #list(segments: readonly SegmentEntry[]): Promise<void> {
    const { token } = this.#right
    this.#manifest = { ...this.#manifest, token, segments }
    await writeManifest(this.#store, this.#folder, this.#manifest)
  }

  async #readHeader(): Promise<Header> {
    const { connection, keys, namespace, deadlineMs } = this.#log
    const { partition } = this.#right
    const header = await readHeader(connection, keys.partitions[partition]!, deadlineMs)
    if (!header) throw missingHeader(namespace, partition)
    return header
  }
}

interface Raw {
  readonly entry: StreamEntry
  readonly batch: Batch
}

function lacks({ partition, first }: Batch, after: number): HeadwaterError {
  return new HeadwaterError(
    'LOG_DAMAGED',
    `Partition ${partition} lacks sequences ${after + 1} to ${first - 1}, which are not archived: they were deleted.`,
  )
}
