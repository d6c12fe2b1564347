import { connect, type Socket } from 'node:net'
import { ReplyCounter } from './reply-counter.ts'

export interface RedisAddress {
  readonly host: string
  readonly port: number
}

/** Encoded commands, and how many replies they get. */
export interface Write {
  readonly bytes: Buffer
  readonly replies: number
}

interface Waiter {
  replies: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** A socket to Redis that is written bytes and counts replies: as little between program and server as there can be. */
export class RawClient {
  readonly #socket: Socket
  readonly #counter = new ReplyCounter()
  readonly #waiters: Waiter[] = []

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('Redis closed the connection.')))
  }

  static connect(address: RedisAddress): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(address)
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new RawClient(socket))
      })
    })
  }

  /** Settles when all replies are there; rejects with the first error among them. */
  send({ bytes, replies }: Write): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ replies, resolve, reject })
      this.#socket.write(bytes)
    })
  }

  /** Sends everything with so many writes under way at any time, so that the server never waits for us. */
  async sendAll(writes: Iterable<Write>, underWay = 4): Promise<void> {
    const left = writes[Symbol.iterator]()
    const sendNext = async (): Promise<void> => {
      for (let next = left.next(); !next.done; next = left.next()) await this.send(next.value)
    }
    await Promise.all(Array.from({ length: underWay }, sendNext))
  }

  close(): void {
    this.#waiters.length = 0
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    let replies = this.#counter.count(chunk)
    if (this.#counter.error !== undefined) return this.#fail(new Error(this.#counter.error))
    while (replies > 0) {
      const waiter = this.#waiters[0]
      if (waiter === undefined) return this.#fail(new Error('Redis sent a reply that nobody waits for.'))
      const taken = Math.min(replies, waiter.replies)
      waiter.replies -= taken
      replies -= taken
      if (waiter.replies > 0) return
      this.#waiters.shift()
      waiter.resolve()
    }
  }

  #fail(error: Error): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error)
    this.#socket.destroy()
  }
}

export function encodeCommand(parts: readonly (string | number)[]): string {
  let text = `*${parts.length}\r\n`
  for (const part of parts) {
    const argument = String(part)
    text += `$${Buffer.byteLength(argument)}\r\n${argument}\r\n`
  }
  return text
}

/** Joins commands to writes of so many each. */
export function* joinCommands(commands: Iterable<string>, each: number): Generator<Write> {
  let text = ''
  let replies = 0
  for (const command of commands) {
    text += command
    replies++
    if (replies < each) continue
    yield { bytes: Buffer.from(text), replies }
    text = ''
    replies = 0
  }
  if (replies > 0) yield { bytes: Buffer.from(text), replies }
}

/** All commands in one write. */
export function joinAll(commands: readonly string[]): Write {
  return { bytes: Buffer.from(commands.join('')), replies: commands.length }
}
