import { type NetConnectOpts, type Socket, connect } from 'node:net'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import { type ProxiedRequest, RequestReader } from './proxied-request.ts'

/** What happens to one request that a fault was waiting for. */
export type RequestFault =
  /** It does not reach the server, and the connection is cut. */
  | 'lose request'
  /** The server executes it, its reply is eaten, and the connection is cut. */
  | 'lose reply'
  /** The server executes it, its reply is eaten, and the client's side stays open in silence. */
  | 'fall silent'

/** What the proxy does to its connections. */
export interface Weather {
  latencyMs(): number
  isChopped(): boolean
  /** Pending while nothing may pass. */
  passable(): Promise<void>
  /** Whether to damage this piece of a reply. */
  corruptsReply(): boolean
  /** Asked once for each request: its fault, with whom to tell when it has happened. */
  faultOf(request: ProxiedRequest): { readonly fault: RequestFault; happened(): void } | undefined
}

type Item = { readonly bytes: Buffer; readonly due: number } | 'end' | 'reset'

/** Bytes held back before the sender is told to wait. */
const QUEUE_BYTES_MAX = 1024 * 1024

/** A client's connection to a proxy, and the connection to the server that belongs to it. */
export class ProxiedConnection {
  /** Settles when both are closed. */
  readonly closed: Promise<void>
  readonly #client: Socket
  readonly #server: Socket
  readonly #weather: Weather
  readonly #requests = new RequestReader()
  /** Whether client and server have lost each other: nothing new passes. */
  #parted = false

  constructor(client: Socket, target: NetConnectOpts, weather: Weather) {
    this.#client = client
    this.#server = connect({ ...target, allowHalfOpen: true })
    this.#weather = weather
    const toServer = this.#forward(client, this.#server)
    const toClient = this.#forward(this.#server, client)
    client.on('data', (bytes) => this.#receiveRequests(bytes, toServer))
    this.#server.on('data', (bytes) => this.#receiveReply(bytes, toClient))
    client.on('end', () => {
      if (this.#parted) client.destroy()
    })
    this.closed = Promise.all([client, this.#server].map(untilClosed)).then(() => {})
  }

  /** Breaks both sides at once. */
  cut(): void {
    for (const socket of [this.#client, this.#server]) reset(socket)
  }

  /** Ends the client's reading side; what it sends still arrives. */
  halfClose(): void {
    this.#client.end()
  }

  /** Breaks the server's side; the client's stays open, and nobody answers there any more. */
  fallSilent(): void {
    this.#parted = true
    reset(this.#server)
  }

  #receiveRequests(bytes: Buffer, toServer: (item: Item) => void): void {
    if (this.#parted) return
    for (const { request, end } of this.#requests.push(bytes)) {
      const found = this.#weather.faultOf(request)
      if (found === undefined) continue
      this.#parted = true
      if (found.fault === 'lose request') {
        this.cut()
        found.happened()
        return
      }
      // The server reads the request to its end, executes it and only then meets the end of the connection: when it
      // has closed its side, the request is done.
      toServer({ bytes: bytes.subarray(0, end), due: this.#due() })
      toServer('end')
      // Its answers are thrown away from now on, and must not wait for the client to take earlier ones.
      this.#server.resume()
      void untilClosed(this.#server).then(() => {
        if (found.fault === 'lose reply') reset(this.#client)
        found.happened()
      })
      return
    }
    toServer({ bytes, due: this.#due() })
  }

  #receiveReply(bytes: Buffer, toClient: (item: Item) => void): void {
    if (this.#parted) return
    toClient({ bytes: this.#weather.corruptsReply() ? damaged(bytes) : bytes, due: this.#due() })
  }

  #due(): number {
    return performance.now() + this.#weather.latencyMs()
  }

  // Returns the queue's entrance. What a socket says of its own end goes through the same queue as its bytes.
  #forward(from: Socket, to: Socket): (item: Item) => void {
    const queue: Item[] = []
    let bytesQueued = 0
    let pumping = false
    const pump = async () => {
      pumping = true
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
        await this.#weather.passable()
        if (item === 'end') to.end()
        else if (item === 'reset') reset(to)
        else {
          await untilTime(item.due)
          await this.#write(to, item.bytes)
          bytesQueued -= item.bytes.length
          if (bytesQueued < QUEUE_BYTES_MAX) from.resume()
        }
      }
      pumping = false
    }
    const enqueue = (item: Item) => {
      queue.push(item)
      if (typeof item === 'object') {
        bytesQueued += item.bytes.length
        if (bytesQueued >= QUEUE_BYTES_MAX) from.pause()
      }
      if (!pumping) void pump()
    }
    from.on('end', () => {
      if (!this.#parted) enqueue('end')
    })
    from.on('error', () => {})
    from.on('close', (hadError) => {
      if (!this.#parted) enqueue(hadError ? 'reset' : 'end')
    })
    return enqueue
  }

  async #write(to: Socket, bytes: Buffer): Promise<void> {
    const pieces = this.#weather.isChopped() ? Array.from(bytes, (byte) => Buffer.of(byte)) : [bytes]
    for (const piece of pieces) {
      if (to.destroyed || !to.writable) return
      if (!to.write(piece)) await untilDrainedOrClosed(to)
      if (pieces.length > 1) await nextTurn()
    }
  }
}

async function untilTime(time: number): Promise<void> {
  // Timers may fire a fraction of a millisecond early.
  for (let wait = time - performance.now(); wait > 0; wait = time - performance.now())
    await delay(Math.ceil(wait))
}

function untilClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })
}

function untilDrainedOrClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done)
      socket.off('close', done)
      resolve()
    }
    socket.once('drain', done)
    socket.once('close', done)
  })
}

function reset(socket: Socket): void {
  // Only TCP knows resets; a Unix socket has no remote address. And Node never closes a socket that is reset while it ends.
  if (socket.remoteAddress === undefined || socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

function damaged(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.of((bytes[0] ?? 0) ^ 0x80), bytes.subarray(1)])
}
