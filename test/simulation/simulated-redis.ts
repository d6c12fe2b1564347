import { createHash } from 'node:crypto'
import { addEntry, readGroup, RedisStore, ReplyError, runCommand } from './redis-store.ts'
import { scriptModels } from './script-models.ts'
import { actor, type SimulatedTime } from './simulated-time.ts'

export interface Request {
  readonly name: string
  readonly args: readonly string[]
  answer(reply: unknown, error?: Error): void
}

/** Told of every script that ran, with what it answered. */
export type ScriptWatch = (
  name: string,
  keys: readonly string[],
  args: readonly string[],
  reply: unknown,
) => void

/** When it began, by the clock on the wall of the server. */
const beganAt = 1_700_000_000_000

/** One Redis server: data, a clock of its own, connections that may be blocked. One command at a time. */
export class SimulatedRedis {
  readonly store = new RedisStore()
  readonly actor = actor('redis')
  /** Another one, with the same data, tells another. */
  replicationId = '0123456789abcdef0123456789abcdef01234567'
  /** What its clock was set by, ms. */
  clockStepMs = 0
  readonly #time: SimulatedTime
  readonly #known = new Set<string>()
  readonly #watch: ScriptWatch
  readonly #sessions = new Map<number, Session>()
  #lastSession = 0

  constructor(time: SimulatedTime, watch: ScriptWatch) {
    this.#time = time
    this.#watch = watch
  }

  get nowMs(): number {
    return Math.floor(beganAt + this.#time.now + this.clockStepMs)
  }

  connect(): Session {
    const id = ++this.#lastSession
    const session = new Session(id, this, this.#time)
    this.#sessions.set(id, session)
    return session
  }

  disconnect(session: Session): void {
    session.close()
    this.#sessions.delete(session.id)
  }

  knowScripts(): void {
    for (const sha of scriptModels.keys()) this.#known.add(sha)
  }

  forgetScripts(): void {
    this.#known.clear()
  }

  append(log: string, id: string, fields: readonly string[]): void {
    addEntry(this.store.stream(log), id, fields)
    for (const session of this.#sessions.values()) session.serve(log)
  }

  run(name: string, args: readonly string[]): unknown {
    if (name === 'evalsha' || name === 'eval') return this.#script(name, args)
    return runCommand(this.store, name, args, this.nowMs)
  }

  #script(name: string, given: readonly string[]): unknown {
    const script = given[0]!
    const sha = name === 'eval' ? digestOf(script) : script
    if (name === 'eval') this.#known.add(sha)
    if (!this.#known.has(sha)) throw new ReplyError('NOSCRIPT No matching script. Please use EVAL.')
    const model = scriptModels.get(sha)
    if (!model) throw new Error(`There is no model of this script:\n${script}`)
    const argsFrom = 2 + Number(given[1])
    const [keys, args] = [given.slice(2, argsFrom), given.slice(argsFrom)]
    const { store, nowMs, replicationId } = this
    const reply = model.run({ store, keys, args, nowMs, replicationId })
    this.#watch(model.name, keys, args, reply)
    return reply
  }
}

const digests = new Map<string, string>()

function digestOf(script: string): string {
  let digest = digests.get(script)
  if (!digest) digests.set(script, (digest = createHash('sha1').update(script).digest('hex')))
  return digest
}

/** One connection, as the server sees it: a blocked command holds up what comes after it. */
export class Session {
  readonly id: number
  readonly #server: SimulatedRedis
  readonly #time: SimulatedTime
  readonly #requests: Request[] = []
  #blocked: Request | undefined
  #closed = false

  constructor(id: number, server: SimulatedRedis, time: SimulatedTime) {
    this.id = id
    this.#server = server
    this.#time = time
  }

  receive(requests: readonly Request[]): void {
    if (this.#closed) return
    for (const request of requests) this.#requests.push(request)
    this.#work()
  }

  close(): void {
    this.#closed = true
    this.#blocked = undefined
  }

  /** Something was appended to a stream. */
  serve(log: string): void {
    if (this.#blocked?.args.includes(log)) this.#end(() => this.#read(this.#blocked!))
  }

  /** Ends a read that waits. */
  unblock(): void {
    if (this.#blocked) this.#end(() => null)
  }

  #work(): void {
    while (!this.#blocked && !this.#closed) {
      const request = this.#requests.shift()
      if (!request) return
      const { name, args } = request
      try {
        if (name === 'xreadgroup') this.#readOrBlock(request)
        else request.answer(this.#server.run(name, args))
      } catch (error) {
        request.answer(undefined, error as Error)
      }
    }
  }

  #readOrBlock(request: Request): void {
    const reply = this.#read(request)
    if (reply !== null) return request.answer(reply)
    this.#blocked = request
    const blockMs = Number(request.args[request.args.indexOf('BLOCK') + 1])
    const timedOut = (): void => {
      if (this.#blocked === request) this.#end(() => null)
    }
    this.#time.after(blockMs, timedOut, this.#server.actor)
  }

  #read({ args }: Request): unknown {
    const [, group, , , count] = args as [string, string, string, string, string]
    const log = args[args.indexOf('STREAMS') + 1]!
    const entries = readGroup(this.#server.store.stream(log), log, group, Number(count))
    return entries ? [[log, entries]] : null
  }

  #end(reply: () => unknown): void {
    const request = this.#blocked!
    try {
      const answer = reply()
      this.#blocked = undefined
      request.answer(answer)
    } catch (error) {
      this.#blocked = undefined
      request.answer(undefined, error as Error)
    }
    this.#work()
  }
}
