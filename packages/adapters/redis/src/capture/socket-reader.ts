import type { Socket } from 'node:net'

/** Reads lines and bytes from a socket, one after the other. The socket is paused while nobody reads. */
export class SocketReader {
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(socket: Socket) {
    this.#chunks = (socket as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  }

  /** Up to the next line feed, without it and a carriage return before it. */
  async line(bytesMax = 65_536): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf(0x0a)
      if (end >= 0) {
        const line = this.#rest.subarray(0, end).toString('latin1')
        this.#rest = this.#rest.subarray(end + 1)
        return line.endsWith('\r') ? line.slice(0, -1) : line
      }
      if (this.#rest.length > bytesMax) throw new Error(`no line ends within ${bytesMax} bytes`)
      this.#rest = Buffer.concat([this.#rest, await this.#next()])
    }
  }

  /** Whatever comes next, at least one byte, at most `bytesMax`. */
  async some(bytesMax: number = Infinity): Promise<Buffer> {
    const chunk = this.#rest.length > 0 ? this.#rest : await this.#next()
    this.#rest = chunk.length > bytesMax ? chunk.subarray(bytesMax) : Buffer.alloc(0)
    return chunk.length > bytesMax ? chunk.subarray(0, bytesMax) : chunk
  }

  async #next(): Promise<Buffer> {
    const next: IteratorResult<Buffer, unknown> = await this.#chunks.next()
    if (next.done) throw new Error('the connection was closed')
    return next.value
  }
}
