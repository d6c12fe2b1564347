import { HeadwaterError } from '@headwater/core'

/** One command of a replication stream. */
export interface StreamCommand {
  /** Its name and arguments. */
  readonly args: readonly Buffer[]
  /** The offset behind it. */
  readonly end: number
}

const CARRIAGE_RETURN = 0x0d
const LINE_FEED = 0x0a
const HEADER_BYTES_MAX = 32

/** Cuts a replication stream into commands, wherever it was cut on its way. */
export class CommandParser {
  #buffer: Buffer = Buffer.alloc(0)
  #at = 0
  /** The offset of the buffer's first byte. */
  #bufferOffset: number
  readonly #waiting: Buffer[] = []
  #waitingBytes = 0
  /** Bytes that the buffer must have before there is anything to parse. */
  #wanted = 0
  /** Of the command that is not complete yet. */
  #args: Buffer[] = []
  #argsLeft = 0

  /** @param offset of the last byte before what will be pushed */
  constructor(offset: number) {
    this.#bufferOffset = offset
  }

  /** Takes the next bytes; returns the commands that are complete now. @throws HeadwaterError SOURCE_REFUSED */
  push(chunk: Buffer): StreamCommand[] {
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
    const held = this.#buffer.length - this.#at
    if (held + this.#waitingBytes < this.#wanted) return []
    this.#bufferOffset += this.#at
    this.#buffer =
      held === 0 && this.#waiting.length === 1
        ? chunk
        : Buffer.concat([this.#buffer.subarray(this.#at), ...this.#waiting])
    this.#at = 0
    this.#waiting.length = 0
    this.#waitingBytes = 0
    this.#wanted = 0
    return this.#parse()
  }

  #parse(): StreamCommand[] {
    const commands: StreamCommand[] = []
    while (this.#at < this.#buffer.length) {
      if (this.#argsLeft === 0) {
        if (!this.#begin()) break
        if (this.#argsLeft === 0) continue
      }
      if (!this.#argument()) break
      if (this.#argsLeft > 0) continue
      commands.push({ args: this.#args, end: this.#bufferOffset + this.#at })
      this.#args = []
    }
    return commands
  }

  /** Reads `*3`; an empty line is a sign of life. Tells whether there was enough to read. */
  #begin(): boolean {
    const first = this.#buffer[this.#at]!
    if (first === LINE_FEED || first === CARRIAGE_RETURN) {
      this.#at++
      return true
    }
    const count = this.#header('*', 1)
    if (count === undefined) return false
    this.#argsLeft = count
    return true
  }

  /** Reads `$5`, five bytes and the end of the line. Tells whether there was enough to read. */
  #argument(): boolean {
    const start = this.#at
    const length = this.#header('$', 0)
    if (length === undefined) return false
    const end = this.#at + length
    if (end + 2 > this.#buffer.length) {
      this.#at = start
      this.#wanted = end + 2 - start
      return false
    }
    if (this.#buffer[end] !== CARRIAGE_RETURN || this.#buffer[end + 1] !== LINE_FEED)
      this.#damaged('an argument does not end where it should')
    this.#args.push(this.#buffer.subarray(this.#at, end))
    this.#argsLeft--
    this.#at = end + 2
    return true
  }

  #header(mark: string, least: number): number | undefined {
    const end = this.#buffer.indexOf(LINE_FEED, this.#at)
    if (end < 0) {
      if (this.#buffer.length - this.#at > HEADER_BYTES_MAX) this.#damaged('a length does not end')
      return undefined
    }
    const line = this.#buffer.toString('latin1', this.#at, Math.min(end, this.#at + HEADER_BYTES_MAX))
    const number = /^.(\d{1,10})\r$/.exec(line)?.[1]
    if (line[0] !== mark || number === undefined || Number(number) < least)
      this.#damaged(`${JSON.stringify(line)} stands where a length with ${mark} belongs`)
    this.#at = end + 1
    return Number(number)
  }

  #damaged(what: string): never {
    throw new HeadwaterError(
      'SOURCE_REFUSED',
      `The replication stream of the source cannot be read at offset ${this.#bufferOffset + this.#at}: ${what}.`,
    )
  }
}
