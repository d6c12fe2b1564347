import { Crc64 } from './crc64.ts'
import { Cursor, OutOfBytes } from './cursor.ts'
import { RdbError } from './rdb-error.ts'

/**
 * The bytes of a dump, as they arrive. Items are parsed from a window on them that holds at least one item: a parse that
 * runs out of bytes is tried again, from the item's beginning, when the window has at least twice the bytes. So parsers
 * are plain synchronous code, and every byte is parsed about twice at most.
 */
export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>
  readonly #itemBytesMax: number
  readonly #crc = new Crc64()
  #window: Buffer = Buffer.alloc(0)
  /** Where the next item begins in the window, and where the window begins in the dump. */
  #at = 0
  #windowOffset = 0
  /** Bytes of the next item that the window must hold before it is worth parsing. */
  #wanted = 1
  #hasEnded = false

  constructor(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, itemBytesMax: number) {
    this.#chunks = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]()
    this.#itemBytesMax = itemBytesMax
  }

  /** Of what has been read so far. */
  get checksum(): bigint {
    return this.#crc.value
  }

  get offset(): number {
    return this.#windowOffset + this.#at
  }

  /** Parses one item, and moves behind it; undefined when more bytes are needed first: then `fill`. */
  read<T>(parse: (cursor: Cursor) => T): T | undefined {
    if (this.#window.length - this.#at < this.#wanted && !this.#hasEnded) return undefined
    const cursor = new Cursor(
      this.#window,
      { offset: this.#windowOffset, isVerbatim: true, isOpen: true },
      this.#at,
    )
    try {
      const item = parse(cursor)
      this.#crc.update(this.#window, this.#at, cursor.at)
      this.#at = cursor.at
      this.#wanted = 1
      return item
    } catch (error) {
      if (!(error instanceof OutOfBytes)) throw error
      this.#want(error.bytes - this.#at)
      return undefined
    }
  }

  /** Waits until it is worth to `read` again. Throws `TRUNCATED` when nothing follows. */
  async fill(): Promise<void> {
    const chunks = [this.#window.subarray(this.#at)]
    let bytes = chunks[0]!.length
    while (bytes < this.#wanted) {
      const next: IteratorResult<Uint8Array, unknown> = await this.#chunks.next()
      if (next.done) {
        this.#hasEnded = true
        break
      }
      const { buffer, byteOffset, byteLength } = next.value
      chunks.push(Buffer.from(buffer, byteOffset, byteLength))
      bytes += byteLength
    }
    this.#windowOffset += this.#at
    this.#at = 0
    this.#window = chunks[0]!.length === 0 && chunks.length === 2 ? chunks[1]! : Buffer.concat(chunks)
  }

  /** Tells the giver of the bytes that no more are read. */
  async close(): Promise<void> {
    if (!this.#hasEnded) await this.#chunks.return?.()
  }

  #want(bytes: number): void {
    const held = this.#window.length - this.#at
    if (this.#hasEnded) {
      throw new RdbError('TRUNCATED', 'The dump ends in the middle of an item.', {
        offset: this.#windowOffset + this.#window.length,
      })
    }
    if (bytes > this.#itemBytesMax) {
      throw new RdbError('ITEM_TOO_LARGE', `An item needs more than ${this.#itemBytesMax} bytes.`, {
        offset: this.offset,
      })
    }
    this.#wanted = Math.min(Math.max(bytes, held * 2), this.#itemBytesMax)
  }
}
