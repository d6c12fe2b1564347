import { once } from 'node:events'
import { type Server, type Socket, createServer } from 'node:net'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { keeperLink } from './keeper-link.ts'
import { ProxiedConnection, type RequestFault, type Weather } from './proxied-connection.ts'
import type { ProxiedRequest } from './proxied-request.ts'
import { removeServerRemains } from './remains.ts'

/** Where a server or a proxy listens: a Unix socket or a TCP port. `options` of a Redis server fit. */
export interface Address {
  readonly path?: string
  readonly host?: string
  readonly port?: number
}

/** How `startProxy` listens. */
export interface StartProxyOptions {
  /** Default: as the server does. */
  readonly listen?: 'unix' | 'tcp'
}

/** Names a command of Redis (`EVALSHA`) or, for another protocol, a part of what is sent (`COMMIT`); or decides itself. */
export type RequestMatcher = string | ((request: ProxiedRequest) => boolean)

interface ArmedFault {
  readonly fault: RequestFault
  readonly matches: (request: ProxiedRequest) => boolean
  /** Matching requests still to pass before the one that is hit. */
  toPass: number
  readonly happened: () => void
}

/** Puts a proxy before a server; clients that connect through it meet the faults that are asked of it. */
export async function startProxy(
  target: Address,
  { listen = target.path === undefined ? 'tcp' : 'unix' }: StartProxyOptions = {},
): Promise<TcpProxy> {
  return TcpProxy.start(target, listen)
}

/** A link to a server that breaks in the ways links do. At first it forwards everything. */
export class TcpProxy implements AsyncDisposable {
  /** For clients, instead of the address of the server. */
  readonly address: Address
  readonly #target: Address
  readonly #folder: string | undefined
  readonly #server: Server
  readonly #connections = new Set<ProxiedConnection>()
  readonly #weather: Weather
  #armed: ArmedFault[] = []
  #latencyMs = 0
  #isChopped = false
  #corruptions = 0
  #passable: Promise<void> = Promise.resolve()
  #letPass = () => {}
  #stopped: Promise<void> | undefined

  private constructor(target: Address, address: Address, folder: string | undefined) {
    this.#target = target
    this.address = address
    this.#folder = folder
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client))
    this.#weather = {
      latencyMs: () => this.#latencyMs,
      isChopped: () => this.#isChopped,
      passable: () => this.#passable,
      corruptsReply: () => {
        if (this.#corruptions === 0) return false
        this.#corruptions--
        return true
      },
      faultOf: (request) => this.#faultOf(request),
    }
  }

  static async start(target: Address, listen: 'unix' | 'tcp'): Promise<TcpProxy> {
    if (listen === 'unix') {
      const keeper = await keeperLink()
      const folder = keeper.createFolder()
      const proxy = new TcpProxy(target, { path: join(folder, 'proxy.sock') }, folder)
      await proxy.accept()
      return proxy
    }
    for (;;) {
      const proxy = new TcpProxy(target, { host: '127.0.0.1', port: await freePort() }, undefined)
      try {
        await proxy.accept()
        return proxy
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      }
    }
  }

  /** How many connections go through it now. */
  get connectionCount(): number {
    return this.#connections.size
  }

  /** Cuts every connection. New ones are accepted. */
  cut(): void {
    for (const connection of this.#connections) connection.cut()
  }

  /** Forwards nothing either way until `heal`; connections stay open, and new ones are accepted in silence. */
  blackhole(): void {
    this.#letPass()
    this.#passable = new Promise((resolve) => {
      this.#letPass = resolve
    })
  }

  /** Ends blackhole, latency and chopping. What a blackhole held back arrives now. */
  heal(): void {
    this.#latencyMs = 0
    this.#isChopped = false
    this.#letPass()
    this.#passable = Promise.resolve()
  }

  /** Delays everything by this long, in each direction. */
  delay(milliseconds: number): void {
    this.#latencyMs = milliseconds
  }

  /** Forwards byte by byte. */
  chop(): void {
    this.#isChopped = true
  }

  /** Damages the first byte of the next piece that the server sends. */
  corruptReply(): void {
    this.#corruptions++
  }

  /** Tells every client that the server has nothing more to say, while what they send still arrives. */
  halfClose(): void {
    for (const connection of this.#connections) connection.halfClose()
  }

  /** Breaks the server's side of every connection and leaves the client's side open: nobody answers, and no end comes. */
  fallSilent(): void {
    for (const connection of this.#connections) connection.fallSilent()
  }

  /** Refuses new connections until `accept`. */
  refuse(): void {
    if (!this.#server.listening) return
    // Stops listening at once; only its callback waits for connections to end.
    this.#server.close()
  }

  /** Accepts connections again, at the same address. */
  async accept(): Promise<void> {
    if (this.#server.listening) return
    const { path, host, port } = this.address
    this.#server.listen(path === undefined ? { host, port } : { path })
    await once(this.#server, 'listening')
  }

  /**
   * Lets the server execute a request, eats its reply and cuts the connection; `nth` counts the requests that match, from
   * now on (default 1). Settles once that has happened: then the server has executed it for sure.
   */
  loseReply(request: RequestMatcher, { nth = 1 }: { nth?: number } = {}): Promise<void> {
    return this.#arm('lose reply', request, nth)
  }

  /** Cuts the connection when a request has arrived here, before the server gets it. Settles once that has happened. */
  loseRequest(request: RequestMatcher, { nth = 1 }: { nth?: number } = {}): Promise<void> {
    return this.#arm('lose request', request, nth)
  }

  /** As `loseReply`, but the client's side stays open, and no answer ever comes. */
  fallSilentAfter(request: RequestMatcher, { nth = 1 }: { nth?: number } = {}): Promise<void> {
    return this.#arm('fall silent', request, nth)
  }

  /** Cuts all connections and ends the proxy. Safe to call twice. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(): Promise<void> {
    if (this.#server.listening) this.#server.close()
    this.heal()
    this.cut()
    await Promise.all([...this.#connections].map((connection) => connection.closed))
    if (this.#folder !== undefined) await removeServerRemains(this.#folder)
  }

  #accept(client: Socket): void {
    const { path, host, port } = this.#target
    const target = path === undefined ? { host, port: port ?? 0 } : { path }
    const connection = new ProxiedConnection(client, target, this.#weather)
    this.#connections.add(connection)
    void connection.closed.then(() => this.#connections.delete(connection))
  }

  #arm(fault: RequestFault, request: RequestMatcher, nth: number): Promise<void> {
    const matches = typeof request === 'function' ? request : (sent: ProxiedRequest) => isNamed(sent, request)
    return new Promise((resolve) => {
      this.#armed.push({ fault, matches, toPass: nth - 1, happened: resolve })
    })
  }

  #faultOf(request: ProxiedRequest): ArmedFault | undefined {
    const hit = this.#armed.find((armed) => armed.matches(request) && armed.toPass-- === 0)
    if (hit !== undefined) this.#armed = this.#armed.filter((armed) => armed !== hit)
    return hit
  }
}

function isNamed({ command, args }: ProxiedRequest, name: string): boolean {
  return command === '' ? (args[0] ?? '').includes(name) : command === name.toUpperCase()
}
