import type { Stamp } from '../change/stamp.ts'
import type { FeedChange } from './feed-change.ts'

interface Chunk {
  readonly partition: number
  readonly changes: readonly FeedChange[]
  /** What is given next. */
  at: number
  /** Up to where the partition is done with, once all of these are given. Undefined for rows of a snapshot. */
  end: Stamp | undefined
}

/** Characters of payloads that may wait, whatever their number. */
const charactersMax = 4_194_304

/** Changes that wait for one subscriber, and up to where each partition was given to it. */
export class ChangeBuffer {
  readonly #changesMax: number
  readonly #given: Stamp[]
  #chunks: Chunk[] = []
  /** The chunks before this one are done with: removing each from the front would move all the others. */
  #first = 0
  /** By partition: its last chunk that still waits. */
  readonly #lastOf = new Map<number, Chunk>()
  #count = 0
  #characters = 0

  constructor(starts: readonly Stamp[], changesMax: number) {
    this.#given = [...starts]
    this.#changesMax = changesMax
  }

  /** By partition: everything up to here was given, or is not wanted. */
  get given(): readonly Stamp[] {
    return this.#given
  }

  get empty(): boolean {
    return this.#count === 0
  }

  get full(): boolean {
    return this.#count >= this.#changesMax || this.#characters >= charactersMax
  }

  /** @param end up to where the partition is done with after these; undefined for rows of a snapshot */
  push(partition: number, changes: readonly FeedChange[], end: Stamp | undefined): void {
    if (changes.length > 0) {
      const chunk = { partition, changes, at: 0, end }
      this.#chunks.push(chunk)
      this.#lastOf.set(partition, chunk)
      this.#count += changes.length
      for (const { payload } of changes) this.#characters += payload.length
      return
    }
    if (!end) return
    // Nothing of it is wanted: done with it as soon as what waits of this partition is given.
    const last = this.#lastOf.get(partition)
    if (last) last.end = end
    else this.#given[partition] = end
  }

  shift(): FeedChange | undefined {
    const chunk = this.#chunks[this.#first]
    if (!chunk) return undefined
    const change = chunk.changes[chunk.at++]!
    this.#count--
    this.#characters -= change.payload.length
    if (chunk.at < chunk.changes.length) {
      if (chunk.end) this.#given[chunk.partition] = change.stamp
      return change
    }
    if (chunk.end) this.#given[chunk.partition] = chunk.end
    if (this.#lastOf.get(chunk.partition) === chunk) this.#lastOf.delete(chunk.partition)
    this.#forget()
    return change
  }

  #forget(): void {
    this.#first++
    if (this.#first < 64 && this.#first < this.#chunks.length) return
    this.#chunks = this.#chunks.slice(this.#first)
    this.#first = 0
  }
}
