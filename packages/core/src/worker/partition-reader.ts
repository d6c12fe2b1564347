import type { Batch, StreamEntry } from '../change/batch.ts'
import type { Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { continuation, enterEpoch } from '../log/continuity.ts'
import { readHeader, type Header } from '../log/header.ts'
import { decodeEntry, readEntries, type RangeOptions, type UnreadableEntry } from '../log/range.ts'
import { placeOfStray, stampOfEntry, strayEpoch } from '../log/stray.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { ConsumerGroup, GroupMissing, type ConsumerGroupOptions } from './consumer-group.ts'

const strayPage = 64

export interface PartitionReaderOptions extends RangeOptions, ConsumerGroupOptions {
  readonly start: Stamp
  /** Up to where everything is applied. */
  readonly settled: () => Stamp
}

/** What one read gave, in the order of the log. */
export interface ReadResult {
  readonly batches: readonly { readonly batch: Batch; readonly skip: number }[]
  /** Entries that were delivered again and hold nothing new: only to be acknowledged. */
  readonly known: readonly string[]
  /** Entries that cannot be decoded, and that the log goes on without: to be set aside before anything else. */
  readonly strays: readonly UnreadableEntry[]
  /** The group had disappeared and was made again at our place. */
  readonly groupRestored: boolean
}

/** History that was read, and that the log does not have any more: a failover or restore lost it. */
export class HistoryForked extends Error {
  readonly epoch: number
  readonly from: number
  readonly to: number

  constructor(epoch: number, from: number, to: number) {
    super(`epoch ${epoch} lost sequences ${from} to ${to}`)
    this.epoch = epoch
    this.from = from
    this.to = to
  }
}

/**
 * Reads one partition for the owner of its lease. What Redis delivers is only a hint, for the lease does not fence
 * the read: a former owner's blocked read may still take an entry, a lost reply leaves entries that later ones overtake.
 * The dense sequence is the truth: what is missing is read from the log itself, what is known is dropped.
 */
export class PartitionReader {
  readonly #options: PartitionReaderOptions
  readonly #group: ConsumerGroup
  #last: Stamp
  /** The last entry that was passed over behind `#last`: the next range begins after it. */
  #passed: string | undefined
  /** Found in the present read: entries that cannot be decoded, and those of them that hold nothing of the sequence. */
  #strays: UnreadableEntry[] = []
  #strayIds: string[] = []
  /** A batch behind the strays that are being judged. */
  #ahead: Batch | undefined
  /** Up to this entry the group was delivered before we came: read from the log, not from the group. */
  #deliveredBefore: string | undefined
  /** Nothing came since the group was last looked through for what is left over. */
  #quiet = false

  constructor(options: PartitionReaderOptions) {
    this.#options = options
    this.#group = new ConsumerGroup(options)
    this.#last = options.start
  }

  /**
   * Waits for changes, at most `blockMs`, and gives at most about `count` batches.
   *
   * @throws HistoryForked when what was given out is not in the log's history any more
   * @throws HeadwaterError LOG_DAMAGED when changes are missing; REDIS_UNAVAILABLE when the read did not come through
   */
  async next(count: number, blockMs: number): Promise<ReadResult> {
    this.#strays = []
    this.#strayIds = []
    let read
    try {
      read = await this.#next(count, blockMs)
    } catch (error) {
      this.#quiet = false
      throw error
    }
    if (read.batches.length > 0) this.#quiet = false
    return { ...read, known: [...read.known, ...this.#strayIds], strays: this.#strays }
  }

  async #next(count: number, blockMs: number): Promise<Omit<ReadResult, 'strays'>> {
    if (this.#deliveredBefore === undefined) {
      this.#deliveredBefore = await this.#group.lastDelivered()
      const known = this.#deliveredBefore === '' ? [] : await this.#leftovers()
      if (known.length > 0) return { batches: [], known, groupRestored: false }
    }
    if (this.#deliveredBefore !== '') {
      const batches = await this.#range(count, this.#deliveredBefore)
      if (batches.length > 0)
        return { batches: await this.#continue(batches), known: [], groupRestored: false }
      this.#deliveredBefore = ''
    }
    let entries: StreamEntry[] | undefined
    try {
      entries = await this.#group.read(count, blockMs)
    } catch (error) {
      if (!(error instanceof GroupMissing)) throw error
      // At our own place: at `$` it would skip what waits, at 0 it would deliver everything again.
      await this.#group.restore(`${this.#last.epoch}-${this.#last.sequence}`)
      return { batches: [], known: [], groupRestored: true }
    }
    if (!entries) {
      const found = await this.#afterSilence(count)
      if (found.batches.length > 0 || this.#quiet) return { ...found, groupRestored: false }
      this.#quiet = true
      return { ...found, known: await this.#leftovers(), groupRestored: false }
    }
    return { ...(await this.#admit(entries)), groupRestored: false }
  }

  async #admit(entries: readonly StreamEntry[]): Promise<Pick<ReadResult, 'batches' | 'known'>> {
    const batches: { batch: Batch; skip: number }[] = []
    const known: string[] = []
    for (const entry of entries) {
      const batch = decodeEntry(this.#options, entry)
      if ('unreadable' in batch) {
        // What is before it in the log comes first, and then it is judged.
        batches.push(...(await this.#fill(batch)))
        known.push(batch.id)
        continue
      }
      let follows = continuation(this.#last, batch)
      if (follows.kind === 'gap' || follows.kind === 'new-epoch') {
        const filled = await this.#fill(batch)
        batches.push(...filled)
        // It was the last of what was missing: given out, and not yet to be acknowledged.
        if (filled.at(-1)?.batch.id === batch.id) continue
        follows = continuation(this.#last, batch)
      }
      if (follows.kind === 'follows') {
        batches.push({ batch, skip: follows.skip })
        this.#advance(batch)
      } else {
        known.push(batch.id)
      }
    }
    return { batches, known }
  }

  /** Gives what lies between our place and a batch that does not follow it, from the log itself. */
  async #fill(until: Pick<Batch, 'id'>): Promise<{ batch: Batch; skip: number }[]> {
    const filled: { batch: Batch; skip: number }[] = []
    for (;;) {
      const missing = await this.#range(64, until.id)
      if (missing.length === 0) return filled
      filled.push(...(await this.#continue(missing)))
      if (missing.at(-1)!.id === until.id) return filled
    }
  }

  /** Batches in the order of the log: each must follow, or history is missing or forked. */
  async #continue(entries: readonly (Batch | UnreadableEntry)[]): Promise<{ batch: Batch; skip: number }[]> {
    const following: { batch: Batch; skip: number }[] = []
    let header: Header | undefined
    for (const batch of entries) {
      if ('unreadable' in batch) {
        const held = await this.#judge(batch)
        if (held) following.push({ batch: held, skip: 0 })
        continue
      }
      let follows = continuation(this.#last, batch)
      if (follows.kind === 'new-epoch') {
        header ??= await this.#header()
        this.#checkHistory(header)
        if (batch.epoch > header.epoch) throw strayEpoch(batch)
        follows = continuation({ epoch: batch.epoch, sequence: this.#last.sequence }, batch)
      }
      if (follows.kind === 'known') continue
      if (follows.kind !== 'follows') {
        throw new HeadwaterError(
          'LOG_DAMAGED',
          `Partition ${batch.partition} lacks sequences ${this.#last.sequence + 1} to ${batch.first - 1}, which group ${this.#options.group} has not applied: they were trimmed or deleted.`,
        )
      }
      following.push({ batch, skip: follows.skip })
      this.#advance(batch)
    }
    return following
  }

  #advance({ epoch, last }: Pick<Batch, 'epoch' | 'last'>): void {
    this.#last = { epoch, sequence: last }
    this.#passed = undefined
  }

  /**
   * What an entry that cannot be decoded stands for. Where the log goes on behind it, so does the reader; then it gives a batch
   * without changes in the place of those that were in it.
   *
   * @throws HeadwaterError LOG_DAMAGED where changes are missing that it cannot have held
   */
  async #judge(entry: UnreadableEntry): Promise<Batch | undefined> {
    const { partition } = this.#options
    // The header first: what is appended after it can only be behind what it tells.
    const header = await this.#header()
    this.#checkHistory(header)
    const place = placeOfStray(this.#last, entry.id, await this.#firstBehind(entry.id), header.sequence)
    if (place === 'unknown') throw entry.unreadable
    this.#strays.push(entry)
    if (place === 'nothing') {
      this.#passed = entry.id
      this.#strayIds.push(entry.id)
      return undefined
    }
    const { epoch, sequence: last } = stampOfEntry(entry.id)!
    const first = this.#last.sequence + 1
    this.#advance({ epoch, last })
    return { partition, id: entry.id, epoch, first, last, time: 0, size: 0, changes: [] }
  }

  /** Nothing came: is there something that should have come? */
  async #afterSilence(count: number): Promise<Pick<ReadResult, 'batches' | 'known'>> {
    const header = await this.#header()
    this.#checkHistory(header)
    if (header.sequence <= this.#last.sequence) return { batches: [], known: [] }
    // Delivered to somebody whose lease is gone, or appended this very moment.
    const batches = await this.#range(count)
    if (batches.length > 0)
      return { batches: await this.#continue(batches), known: await this.#comeBack(header) }
    const again = await this.#header()
    throw new HeadwaterError(
      'LOG_DAMAGED',
      `Partition ${this.#options.partition} ends at sequence ${this.#last.sequence}, but its header says ${again.sequence}: entries were trimmed or deleted.`,
    )
  }

  /** Of the group, which was given an entry above all of ours that was taken away since: it would never be given anything again. */
  async #comeBack({ epoch, sequence }: Header): Promise<readonly string[]> {
    const end = `${epoch}-${sequence}`
    if (!isAbove(await this.#group.lastDelivered(), end)) return []
    const given = await this.#group.pending(`(${end}`, '+')
    await this.#group.setBack(end)
    return given
  }

  #checkHistory(header: Header): void {
    const { lost, last } = enterEpoch(this.#last, header.epoch, header)
    if (lost > 0) throw new HistoryForked(this.#last.epoch, last.sequence + 1, this.#last.sequence)
  }

  /** The first batch behind an entry that can be decoded; one answer serves all strays before it. */
  async #firstBehind(id: string): Promise<Batch | undefined> {
    if (this.#ahead && this.#ahead.last > this.#last.sequence) return this.#ahead
    for (let from = `(${id}`; ;) {
      const entries = await readEntries(this.#options, from, strayPage)
      this.#ahead = entries.find((one): one is Batch => !('unreadable' in one))
      if (this.#ahead || entries.length < strayPage) return this.#ahead
      from = `(${entries.at(-1)!.id}`
    }
  }

  #range(count: number, to?: string): Promise<(Batch | UnreadableEntry)[]> {
    const { epoch, sequence } = this.#last
    const from = this.#passed === undefined ? `${epoch}-${sequence + 1}` : `(${this.#passed}`
    return readEntries(this.#options, from, count, to)
  }

  async #header(): Promise<Header> {
    const { connection, keys, deadlineMs, namespace, partition } = this.#options
    const header = await readHeader(connection, keys, deadlineMs)
    if (!header) throw missingHeader(namespace, partition)
    return header
  }

  /**
   * Entries that were delivered and applied, and are not acknowledged: a zombie took them when they were known already, a
   * restore brought them back, or a master that was none any more took the acknowledgement. Nobody would ever ask for them
   * again.
   */
  async #leftovers(): Promise<string[]> {
    const { epoch, sequence } = this.#options.settled()
    return await this.#group.pending('-', `${epoch}-${sequence}`)
  }
}

function isAbove(id: string, other: string): boolean {
  const [high = 0, low = 0] = id.split('-').map(Number)
  const [otherHigh = 0, otherLow = 0] = other.split('-').map(Number)
  return high > otherHigh || (high === otherHigh && low > otherLow)
}
