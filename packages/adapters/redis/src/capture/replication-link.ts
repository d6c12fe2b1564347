import type { Socket } from 'node:net'
import { HeadwaterError } from '@headwater/core'
import type { RedisOptions } from 'ioredis'
import { SocketReader } from './socket-reader.ts'
import { connectSocket } from './source-address.ts'

/** A place in a server's replication stream: every byte that it sends its replicas has a number. */
export interface ReplicationPosition {
  /** Names one history: 40 hexadecimal digits. */
  readonly replicationId: string
  /** Of the last byte received. */
  readonly offset: number
}

/** What the source answered when we attached. */
export type Attachment =
  /** The stream goes on behind the position that was asked for; after a failover under another id. */
  | { readonly kind: 'partial'; readonly replicationId: string }
  /** The source sends a dump of everything, and the stream goes on behind `position`. */
  | { readonly kind: 'full'; readonly position: ReplicationPosition }

/** How long the source may be silent: its pings come every 10 s, unless it is configured otherwise. */
const SILENCE_MAX_MS = 60_000
const EOF_MARK_BYTES = 40

/** Answers of a source that may be another one soon: it starts, fails over, or has lost its own master. */
const passing = /^-(?:LOADING|NOMASTERLINK|MASTERDOWN|BUSY|ERR Can't SYNC while)/

/** A connection to a source that takes us for a replica. */
export class ReplicationLink {
  readonly #socket: Socket
  readonly #reader: SocketReader

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#reader = new SocketReader(socket)
    // The reason reaches whoever reads.
    socket.on('error', () => {})
    socket.setTimeout(SILENCE_MAX_MS, () =>
      socket.destroy(new Error(`the source was silent for ${SILENCE_MAX_MS / 1_000} s`)),
    )
  }

  /** Connects, authenticates, and says what we can do. @throws HeadwaterError SOURCE_REFUSED; other errors may pass */
  static async open(options: RedisOptions): Promise<ReplicationLink> {
    const link = new ReplicationLink(await connectSocket(options))
    try {
      const { username, password } = options
      if (password) await link.#expect('AUTH', ...(username ? [username] : []), password)
      await link.#expect('PING')
      await link.#expect('REPLCONF', 'capa', 'eof', 'capa', 'psync2')
      return link
    } catch (error) {
      link.close()
      throw error
    }
  }

  /** Asks for the stream behind a position, or for everything. @throws HeadwaterError SOURCE_REFUSED; others may pass */
  async attach(position: ReplicationPosition | undefined): Promise<Attachment> {
    this.#send('PSYNC', position?.replicationId ?? '?', position ? String(position.offset + 1) : '-1')
    const line = await this.#answer()
    const full = /^\+FULLRESYNC ([0-9a-f]{40}) (\d{1,15})$/.exec(line)
    if (full) return { kind: 'full', position: { replicationId: full[1]!, offset: Number(full[2]) } }
    const partial = /^\+CONTINUE(?: ([0-9a-f]{40}))?$/.exec(line)
    if (partial && position) return { kind: 'partial', replicationId: partial[1] ?? position.replicationId }
    throw refusal('PSYNC', line)
  }

  /**
   * The dump that follows a full attachment. It comes with its length, or, from a source that does not write it to disk
   * first, with a mark at its end. `onSize` is told the length where it is known.
   */
  async *dump(onSize: (bytes: number) => void): AsyncGenerator<Buffer, void, void> {
    const line = await this.#answer()
    const [, size] = /^\$(\d{1,15})$/.exec(line) ?? []
    if (size !== undefined) {
      onSize(Number(size))
      for (let left = Number(size); left > 0;) {
        const chunk = await this.#reader.some(left)
        left -= chunk.length
        yield chunk
      }
      return
    }
    const [, mark] = /^\$EOF:(.{40})$/s.exec(line) ?? []
    if (mark === undefined) throw refusal('PSYNC', line)
    yield* this.#untilMark(Buffer.from(mark, 'latin1'))
  }

  /** The stream, as it arrives. Ends only by an error. */
  async *stream(): AsyncGenerator<Buffer, never, void> {
    for (;;) yield await this.#reader.some()
  }

  /** Tells the source up to where we have what it sent. */
  acknowledge(offset: number): void {
    if (!this.#socket.destroyed) this.#send('REPLCONF', 'ACK', String(offset))
  }

  close(): void {
    this.#socket.destroy()
  }

  // The source sends nothing behind the mark until it is acknowledged, so the mark is always the last that arrived.
  async *#untilMark(mark: Buffer): AsyncGenerator<Buffer, void, void> {
    let held: Buffer = Buffer.alloc(0)
    for (;;) {
      held = Buffer.concat([held, await this.#reader.some()])
      const content = Math.max(0, held.length - EOF_MARK_BYTES)
      if (content > 0) yield held.subarray(0, content)
      held = held.subarray(content)
      if (held.equals(mark)) return
    }
  }

  async #expect(...command: string[]): Promise<void> {
    this.#send(...command)
    const line = await this.#answer()
    if (!line.startsWith('+')) throw refusal(command[0]!, line)
  }

  // While a source prepares its answer it sends empty lines, to show that it lives.
  async #answer(): Promise<string> {
    for (;;) {
      const line = await this.#reader.line()
      if (line !== '') return line
    }
  }

  #send(...args: string[]): void {
    const parts = args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`)
    this.#socket.write(`*${args.length}\r\n${parts.join('')}`)
  }
}

function refusal(command: string, line: string): Error {
  const answer = line.slice(0, 200).replace(/^-/, '')
  if (passing.test(line)) return new Error(`the source answered ${answer}`)
  return new HeadwaterError(
    'SOURCE_REFUSED',
    `The source answered ${command} with ${JSON.stringify(answer)}. It must be a Redis or Valkey whose user may run PSYNC and REPLCONF (+psync +replconf +ping).`,
  )
}
