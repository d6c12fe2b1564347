import { RdbError } from './rdb-error.ts'

/** The bytes at hand do not suffice; at least `bytes` of them are needed from the beginning. */
export class OutOfBytes extends Error {
  readonly bytes: number

  constructor(bytes: number) {
    super(`${bytes} bytes are needed.`)
    this.bytes = bytes
  }
}

/** Where a cursor's bytes are from. */
export interface CursorPlace {
  /** Of the first byte, in the dump. */
  readonly offset: number
  /** Whether the bytes stand in the dump as they are, one after the other; compressed ones do not. */
  readonly isVerbatim: boolean
  /** Whether more bytes may follow later: then `OutOfBytes` is thrown at the end, else the bytes are corrupt. */
  readonly isOpen: boolean
}

/** A place in some bytes of a dump, that moves on with each read. */
export class Cursor {
  readonly bytes: Buffer
  readonly #place: CursorPlace
  #at: number

  constructor(bytes: Buffer, place: CursorPlace, at = 0) {
    this.bytes = bytes
    this.#place = place
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  get left(): number {
    return this.bytes.length - this.#at
  }

  /** In the dump, of the next byte. */
  get offset(): number {
    return this.#place.offset + (this.#place.isVerbatim ? this.#at : 0)
  }

  /** Goes back to where `at` was before. */
  rewindTo(at: number): this {
    this.#at = at
    return this
  }

  /** Moves over the next bytes and returns where they begin. */
  skip(count: number): number {
    const at = this.#at
    if (count > this.bytes.length - at) this.#short(count)
    this.#at = at + count
    return at
  }

  /** The next bytes: a view, not a copy. */
  take(count: number): Buffer {
    const at = this.skip(count)
    return this.bytes.subarray(at, at + count)
  }

  byte(): number {
    const at = this.#at
    if (at >= this.bytes.length) this.#short(1)
    this.#at = at + 1
    return this.bytes[at]!
  }

  uint16le(): number {
    return this.bytes.readUInt16LE(this.skip(2))
  }

  uint32le(): number {
    return this.bytes.readUInt32LE(this.skip(4))
  }

  uint32be(): number {
    return this.bytes.readUInt32BE(this.skip(4))
  }

  uint64be(): bigint {
    return this.bytes.readBigUInt64BE(this.skip(8))
  }

  int64le(): bigint {
    return this.bytes.readBigInt64LE(this.skip(8))
  }

  /** A signed integer of 1 to 6 bytes. */
  intLe(byteLength: number): number {
    return this.bytes.readIntLE(this.skip(byteLength), byteLength)
  }

  doubleLe(): number {
    return this.bytes.readDoubleLE(this.skip(8))
  }

  /** Throws an error about what stands here. */
  corrupt(what: string): never {
    throw new RdbError('CORRUPT', what, { offset: this.offset })
  }

  #short(count: number): never {
    if (this.#place.isOpen) throw new OutOfBytes(this.#at + count)
    this.corrupt(`${count} bytes should follow, but only ${this.left} do.`)
  }
}
