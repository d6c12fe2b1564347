import { RedisCommands, type Settle } from './redis-commands.ts'
import type { Request, Session, SimulatedRedis } from './simulated-redis.ts'
import type { Actor, SimulatedTime } from './simulated-time.ts'

/** How the network between a worker and a server is now. */
export interface Network {
  readonly latencyMs: () => number
  /** Until then nothing arrives, in either direction, and nobody is told, ms. */
  silentUntil: number
  /** Whoever loses a connection gets no new one before that, ms. */
  refusedUntil: number
}

/** A command on its way, there and back. */
class SentCommand implements Request {
  readonly name: string
  readonly args: readonly string[]
  readonly #settle: Settle
  readonly #answered: (command: SentCommand) => void
  #reply: unknown
  #error: Error | undefined

  constructor(
    name: string,
    args: readonly (string | number)[],
    settle: Settle,
    answered: (command: SentCommand) => void,
  ) {
    this.name = name
    this.args = args.map(String)
    this.#settle = settle
    this.#answered = answered
  }

  answer(reply: unknown, error?: Error): void {
    this.#reply = reply
    this.#error = error
    this.#answered(this)
  }

  /** Its answer has come. */
  settle(): void {
    if (this.#error) this.#settle.reject(this.#error)
    else this.#settle.resolve(this.#reply)
  }

  reject(error: Error): void {
    this.#settle.reject(error)
  }
}

/** A client over a network that delays and breaks. Each direction keeps its order. */
export class SimulatedClient extends RedisCommands {
  status: 'connecting' | 'ready' | 'end' = 'connecting'
  readonly #time: SimulatedTime
  readonly #server: SimulatedRedis
  readonly #actor: Actor
  readonly #network: Network
  readonly #pending = new Set<SentCommand>()
  #session: Session | undefined
  #requests: Request[] | undefined
  #replies: SentCommand[] | undefined
  #arrivesLast = 0
  #answersLast = 0

  constructor(time: SimulatedTime, server: SimulatedRedis, of: Actor, network: Network) {
    super()
    this.#time = time
    this.#server = server
    this.#actor = of
    this.#network = network
    this.#connect()
  }

  /** The connection breaks; as with ioredis it comes back by itself. What is under way may still arrive. */
  cut(): void {
    if (this.status !== 'ready') return
    this.status = 'connecting'
    this.#leave()
    this.#connect()
  }

  /** Its process is killed: nobody hears anything any more, and the server notices when it does. */
  die(): void {
    if (this.#session) this.#drop(this.#session)
  }

  disconnect(): void {
    if (this.status === 'end') return
    this.status = 'end'
    this.#leave()
    this.emit('end')
  }

  protected override send(name: string, args: readonly (string | number)[], settle: Settle): void {
    if (this.status !== 'ready') {
      settle.reject(new Error("Stream isn't writeable and enableOfflineQueue options is false"))
      return
    }
    const session = this.#session
    const request = new SentCommand(name, args, settle, (answered) => {
      if (session === this.#session) this.#answer(answered)
    })
    this.#pending.add(request)
    if (this.#requests) {
      this.#requests.push(request)
      return
    }
    const at = this.#arrival(this.#arrivesLast)
    if (at === this.#time.now && this.#arrivesLast < at && this.#server.actor.stoppedUntil <= at) {
      session?.receive([request])
      return
    }
    const requests = (this.#requests = [request])
    this.#arrivesLast = at
    const arrive = (): void => {
      if (this.#requests === requests) this.#requests = undefined
      session?.receive(requests)
    }
    this.#time.after(this.#arrivesLast - this.#time.now, arrive, this.#server.actor)
  }

  #answer(answered: SentCommand): void {
    if (this.#replies) {
      this.#replies.push(answered)
      return
    }
    const at = this.#arrival(this.#answersLast)
    if (at === this.#time.now && this.#answersLast < at && this.#time.isTurnOf(this.#actor)) {
      this.#deliver(answered)
      return
    }
    const replies = (this.#replies = [answered])
    this.#answersLast = at
    const arrive = (): void => {
      if (this.#replies === replies) this.#replies = undefined
      for (const one of replies) this.#deliver(one)
    }
    this.#time.after(this.#answersLast - this.#time.now, arrive, this.#actor)
  }

  #deliver(answered: SentCommand): void {
    if (this.#pending.delete(answered)) answered.settle()
  }

  /** When what is sent now arrives: not before what was sent before. */
  #arrival(last: number): number {
    return Math.max(last, this.#network.silentUntil, this.#time.now + this.#network.latencyMs())
  }

  #connect(): void {
    const { silentUntil, refusedUntil, latencyMs } = this.#network
    const at = Math.max(silentUntil, refusedUntil, this.#time.now + 2 * latencyMs())
    const connected = (): void => {
      if (this.status !== 'connecting') return
      if (this.#network.refusedUntil > this.#time.now) return this.#connect()
      this.#session = this.#server.connect()
      this.status = 'ready'
      this.emit('ready')
    }
    this.#time.after(at - this.#time.now, connected, this.#actor)
  }

  #leave(): void {
    const session = this.#session
    this.#session = undefined
    this.#requests = undefined
    this.#replies = undefined
    if (session) this.#drop(session)
    const lost = [...this.#pending]
    this.#pending.clear()
    for (const command of lost) command.reject(new Error('Connection is closed.'))
  }

  /** The server may learn of it late; until then it still executes what arrives, and fills blocked reads. */
  #drop(session: Session): void {
    const { random } = this.#time
    const noticedAfterMs = random.chance(0.8) ? this.#network.latencyMs() : random.below(5_000)
    this.#time.after(noticedAfterMs, () => this.#server.disconnect(session), this.#server.actor)
  }
}
