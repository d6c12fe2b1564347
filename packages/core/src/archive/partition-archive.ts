import { decodeBatch, type Batch, type BatchContext } from '../change/batch.ts'
import type { Stamp } from '../change/stamp.ts'
import type { HeadwaterError } from '../errors/headwater-error.ts'
import { survivedUpTo, type Header } from '../log/header.ts'
import type { ArchiveStore } from './archive-store.ts'
import { folderOf, readManifest, type ArchivedLog, type SegmentEntry } from './manifest.ts'
import { checksumOf, damagedSegment, pieceBytesMax, unpackSegment } from './segment.ts'

export interface PartitionArchiveOptions {
  readonly store: ArchiveStore
  readonly log: ArchivedLog
  readonly partition: number
  readonly context: BatchContext
}

/**
 * Reads what was archived of one partition, as far as it is in the log's history: a failover may have lost the end of what
 * is archived.
 */
export class PartitionArchive {
  readonly #options: PartitionArchiveOptions
  readonly #folder: string

  constructor(options: PartitionArchiveOptions) {
    this.#options = options
    this.#folder = folderOf(options.log, options.partition)
  }

  /**
   * Batches that hold later sequences than this one, in order.
   *
   * @throws HeadwaterError ARCHIVE_DAMAGED
   */
  async *after(sequence: number, header: Header): AsyncGenerator<Batch> {
    let last = sequence
    for (const segment of await this.#segments()) {
      if (segment.last.sequence <= last) continue
      for (const batch of await this.#batches(segment)) {
        if (batch.last <= last || isLost(header, batch)) continue
        last = batch.last
        yield batch
      }
    }
  }

  /** Batches that end before this sequence, the newest first. */
  async *before(sequence: number, header: Header): AsyncGenerator<Batch> {
    let first = sequence
    for (const segment of (await this.#segments()).toReversed()) {
      if (segment.first >= first) continue
      for (const batch of (await this.#batches(segment)).toReversed()) {
        if (batch.last >= first || isLost(header, batch)) continue
        first = batch.first
        yield batch
      }
    }
  }

  /** The stamp of the last change that was stored at or before this time. */
  async stampAt(time: number, header: Header): Promise<Stamp | undefined> {
    for (const segment of (await this.#segments()).toReversed()) {
      if (segment.from > time) continue
      for (const batch of (await this.#batches(segment)).toReversed()) {
        if (batch.time <= time && !isLost(header, batch)) return { epoch: batch.epoch, sequence: batch.last }
      }
    }
    return undefined
  }

  /** Sequence of the first change; undefined while there is none. */
  async first(): Promise<number | undefined> {
    return (await this.#segments())[0]?.first
  }

  async #segments(): Promise<readonly SegmentEntry[]> {
    const { store, partition } = this.#options
    return (await readManifest(store, this.#folder, partition)).segments
  }

  async #batches(segment: SegmentEntry): Promise<Batch[]> {
    const { store, partition, context } = this.#options
    const path = `${this.#folder}/${segment.file}`
    const damaged = (offset: number, why: string, cause?: unknown): HeadwaterError =>
      damagedSegment(store.name, path, offset, why, cause)
    const piece = await store.read(path, pieceBytesMax)
    if (!piece) throw damaged(0, 'it is gone')
    // Before it is decompressed, which a piece that was made for it could make endless; where a smaller one is altered is told.
    if (piece.length > 2 * segment.bytes)
      throw damaged(0, `it has ${piece.length} bytes, and ${segment.bytes} were written`)
    const batches: Batch[] = []
    let next = segment.first
    for (const { entry, offset } of await unpackSegment(store.name, path, piece)) {
      let batch: Batch
      try {
        batch = decodeBatch(partition, entry, context)
      } catch (error) {
        throw damaged(offset, 'the line there is no batch', error)
      }
      if (batch.first > next) throw damaged(offset, `sequences ${next} to ${batch.first - 1} are missing`)
      next = batch.last + 1
      batches.push(batch)
    }
    if (batches.length !== segment.entries)
      throw damaged(0, `it has ${batches.length} of ${segment.entries} entries`)
    // Last, because it says only that something is wrong, and not where.
    if (checksumOf(piece) !== segment.sha256) throw damaged(0, 'its checksum is another')
    return batches
  }
}

function isLost(header: Header, { epoch, last }: Batch): boolean {
  return survivedUpTo(header, { epoch, sequence: last }) < last
}
