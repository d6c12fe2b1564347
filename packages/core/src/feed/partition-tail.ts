import { decodeBatch, type Batch } from '../change/batch.ts'
import { compareStamps, type Stamp } from '../change/stamp.ts'
import { isHeadwaterError, type HeadwaterError } from '../errors/headwater-error.ts'
import { continuation } from '../log/continuity.ts'
import type { Header } from '../log/header.ts'
import { readRange } from '../log/range.ts'
import { strayEpoch } from '../log/stray.ts'
import type { LiveMessage } from './live-message.ts'
import { isOtherHistory, readOwnHeader, type OwnHeaderOptions } from './own-header.ts'

/** Who follows a partition. */
export interface TailListener {
  /** The next batch of the log. */
  onBatch(partition: number, batch: Batch, header: Header): void
  /** The history may have changed, or cannot be read here: look for yourself. */
  onDoubt(partition: number): void
  /** Nothing can be said of this log any more. */
  onEnd(error: HeadwaterError): void
}

export interface PartitionTailOptions extends OwnHeaderOptions {
  readonly listener: TailListener
}

const batchesAtOnce = 64
/** Batches that are kept while the log is being read. More of them are read as well. */
const heardMax = 64
/** What is kept for followers who are a little behind: batches, and characters of their keys and payloads. */
const recentMax = { batches: 256, characters: 1_048_576 }

/**
 * The growing end of one partition, for everybody in this process who follows it. What is heard over pub/sub is given on
 * where it continues what was given before; where it does not, what lies between is read from the log.
 */
export class PartitionTail {
  readonly #options: PartitionTailOptions
  #last: Stamp | undefined
  #header: Header | undefined
  #heard: Batch[] = []
  /** The batches given last, without a hole. */
  #recent: Batch[] = []
  #recentCharacters = 0
  /** Something was said of what came after `last`, and is not among the batches that were heard. */
  #behind = false
  /** The connection was lost: nothing that is heard is given on before the header was looked at. */
  #unsure = true
  #doubts = 0
  #looking: Promise<void> | undefined
  #reading = false

  constructor(options: PartitionTailOptions) {
    this.#options = options
  }

  /** What was given last. Undefined before the first look. */
  get last(): Stamp | undefined {
    return this.#last
  }

  get header(): Header | undefined {
    return this.#header
  }

  /** What was given after this stamp, from the first batch on; undefined where that is not known any more. */
  since({ sequence }: Stamp): readonly Batch[] | undefined {
    const at = this.#recent.findIndex(({ last }) => last > sequence)
    const first = this.#recent[at]
    return first && first.first <= sequence + 1 ? this.#recent.slice(at) : undefined
  }

  /** Takes what came over pub/sub. */
  hear({ upTo, entry }: LiveMessage): void {
    const { partition, context } = this.#options
    if (!entry || this.#heard.length >= heardMax) {
      if (!this.#last || compareStamps(upTo, this.#last) > 0) this.#behind = true
    } else {
      try {
        this.#heard.push(decodeBatch(partition, entry, context))
      } catch {
        // Not from the append script. What the log really holds is read from the log.
        this.#behind = true
      }
    }
    this.#proceed()
  }

  /** Messages may have been lost. */
  doubt(): void {
    this.#unsure = true
    this.#doubts++
  }

  /** Compares the header with what was given. Rejects when Redis cannot be asked; then nothing has changed. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
    return this.#looking
  }

  async #look(): Promise<void> {
    // What was given before the question, the answer must know: later batches may have been heard meanwhile.
    const before = this.#last
    const doubts = this.#doubts
    let header: Header
    try {
      header = await readOwnHeader(this.#options)
    } catch (error) {
      if (isHeadwaterError(error, 'LOG_DAMAGED') || isHeadwaterError(error, 'MUST_REFETCH')) {
        return this.#options.listener.onEnd(error)
      }
      throw error
    }
    const known = this.#header
    this.#header = header
    if (!before || !known) this.#last = { epoch: header.epoch, sequence: header.sequence }
    else if (isOtherHistory(before, known, header)) this.#rewind(header)
    else if (header.sequence > this.#last!.sequence) this.#behind = true
    if (doubts === this.#doubts) this.#unsure = false
    this.#proceed()
  }

  #rewind(header: Header): void {
    this.#last = { epoch: header.epoch, sequence: header.sequence }
    this.#heard = []
    this.#forgetRecent()
    this.#options.listener.onDoubt(this.#options.partition)
  }

  #proceed(): void {
    if (this.#unsure || this.#reading) return
    this.#giveHeard()
    if (this.#behind) void this.#read()
  }

  #giveHeard(): void {
    const heard = this.#heard
    this.#heard = []
    for (const batch of heard) if (!this.#give(batch)) this.#behind = true
  }

  /** False where something is missing before it. */
  #give(batch: Batch): boolean {
    if (!this.#last || !this.#header || batch.epoch > this.#header.epoch) return false
    // The header is of the batch's epoch or a later one, and `last` survived in it: only the number matters.
    const follows = continuation(
      { epoch: Math.max(batch.epoch, this.#last.epoch), sequence: this.#last.sequence },
      batch,
    )
    if (follows.kind === 'known') return true
    if (follows.kind !== 'follows') return false
    this.#advance(batch)
    return true
  }

  #advance(batch: Batch): void {
    if (batch.first > this.#last!.sequence + 1) this.#forgetRecent()
    this.#last = { epoch: batch.epoch, sequence: batch.last }
    this.#recent.push(batch)
    this.#recentCharacters += batch.size
    while (this.#recent.length > recentMax.batches || this.#recentCharacters > recentMax.characters) {
      this.#recentCharacters -= this.#recent.shift()!.size
    }
    this.#options.listener.onBatch(this.#options.partition, batch, this.#header!)
  }

  #forgetRecent(): void {
    this.#recent = []
    this.#recentCharacters = 0
  }

  /** Reads the log until everything is given that was said to be there. */
  async #read(): Promise<void> {
    this.#reading = true
    try {
      while (this.#behind && !this.#unsure) {
        this.#behind = false
        await this.#readToEnd()
        if (!this.#unsure) this.#giveHeard()
      }
    } catch (error) {
      this.#behind = true
      // Where Redis is away, the next look begins again. What is damaged stays damaged.
      if (isHeadwaterError(error, 'LOG_DAMAGED')) this.#passDamage()
    } finally {
      this.#reading = false
    }
  }

  async #readToEnd(): Promise<void> {
    for (;;) {
      const { epoch, sequence } = this.#last!
      const batches = await readRange(this.#options, { epoch, sequence: sequence + 1 }, batchesAtOnce)
      if (batches.length === 0) return
      const newest = batches.at(-1)!
      if (newest.epoch > this.#header!.epoch) {
        await this.look()
        if (newest.epoch > this.#header!.epoch) throw strayEpoch(newest)
        // The history may be another one now, so what was read may be too.
        continue
      }
      for (const batch of batches) {
        // A hole is passed: followers see that the batch does not follow, and read for themselves.
        if (!this.#give(batch)) this.#advance(batch)
      }
    }
  }

  /** Followers read for themselves, and learn what is wrong. */
  #passDamage(): void {
    this.#behind = false
    this.#last = { epoch: this.#header!.epoch, sequence: this.#header!.sequence }
    this.#forgetRecent()
    this.#options.listener.onDoubt(this.#options.partition)
  }
}
