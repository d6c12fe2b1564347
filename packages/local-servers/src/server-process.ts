import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { KeeperLink, KeptProcess } from './keeper-link.ts'
import { LocalServerError } from './local-server-error.ts'
import { removeServerRemains } from './remains.ts'

/** How to run one server. */
export interface ServerProgram {
  /** For messages. */
  readonly name: string
  /** The server's own folder inside the keeper's. */
  readonly folder: string
  readonly argv: readonly [string, ...string[]]
  readonly env?: Readonly<Record<string, string>>
  /** Asks the server to end. */
  readonly endSignal: NodeJS.Signals
  /** Settles when the server answers; rejects when it is told to give up. */
  readonly ready: (pid: number, giveUp: AbortSignal) => Promise<void>
}

const START_TIMEOUT_MS = 60_000
const END_TIMEOUT_MS = 5_000
const LOG_LINES = 15
const DEADLY: readonly NodeJS.Signals[] = ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGQUIT']

/** One server as a process of the keeper: started, killed, restarted, removed. */
export class ServerProcess {
  readonly #keeper: KeeperLink
  readonly #program: ServerProgram
  #process: KeptProcess | undefined
  #stopped: Promise<void> | undefined

  constructor(keeper: KeeperLink, program: ServerProgram) {
    this.#keeper = keeper
    this.#program = program
  }

  get pid(): number {
    if (this.#process === undefined)
      throw new LocalServerError('STOPPED', `${this.#program.name} has not started yet.`)
    return this.#process.pid
  }

  /** Starts the program and waits until it answers. */
  async start(): Promise<void> {
    const { name, folder, argv, env = {}, endSignal, ready } = this.#program
    const started = await this.#keeper.run({ folder, argv, env, endSignal })
    this.#process = started
    const giveUp = new AbortController()
    const timeout = setTimeout(
      () => giveUp.abort(new Error(`It did not answer within ${START_TIMEOUT_MS / 1000} seconds.`)),
      START_TIMEOUT_MS,
    )
    try {
      const exit = await Promise.race([ready(started.pid, giveUp.signal), started.exited])
      if (exit !== undefined) throw new Error(`It ended with ${exit.signal ?? `code ${exit.code}`}.`)
    } catch (error) {
      await this.#end()
      throw didNotStart(name, folder, giveUp.signal.aborted ? giveUp.signal.reason : error)
    } finally {
      clearTimeout(timeout)
      giveUp.abort()
    }
  }

  /** Sends a signal. One that ends a process is waited for until the process is gone. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    this.#refuseWhenStopped()
    await this.#process?.signal(signal)
    if (DEADLY.includes(signal)) await this.#process?.waitForExit()
  }

  /** Ends the process if it runs, and starts it again with the same folder and addresses. */
  async restart(): Promise<void> {
    this.#refuseWhenStopped()
    await this.#end()
    await this.start()
  }

  /** Ends the process and removes its folder. Safe to call twice. */
  stop(): Promise<void> {
    this.#stopped ??= this.#end().then(() => removeServerRemains(this.#program.folder))
    return this.#stopped
  }

  #refuseWhenStopped(): void {
    if (this.#stopped !== undefined)
      throw new LocalServerError('STOPPED', `${this.#program.name} was stopped.`)
  }

  async #end(): Promise<void> {
    const running = this.#process
    if (running === undefined || running.exit !== undefined) return
    // A keeper that has ended takes no signals, but then the process ends with it.
    const send = (signal: NodeJS.Signals) => running.signal(signal).catch(() => {})
    await send(this.#program.endSignal)
    // A stopped process takes no other signal until it goes on.
    await send('SIGCONT')
    const timeout = new AbortController()
    const ended = await Promise.race([
      running.waitForExit().then(() => true),
      delay(END_TIMEOUT_MS, false, { signal: timeout.signal }),
    ])
    timeout.abort()
    if (ended) return
    await send('SIGKILL')
    await running.waitForExit()
  }
}

/** Runs a program of a server to its end, such as one that makes its files. Throws when it fails. */
export async function runToEnd(
  keeper: KeeperLink,
  name: string,
  folder: string,
  argv: readonly [string, ...string[]],
): Promise<void> {
  const running = await keeper.run({ folder, argv, env: {}, endSignal: 'SIGKILL' })
  const { code, signal } = await running.waitForExit()
  if (code !== 0) throw didNotStart(name, folder, new Error(`It ended with ${signal ?? `code ${code}`}.`))
}

function didNotStart(name: string, folder: string, cause: unknown): LocalServerError {
  const file = join(folder, 'log')
  const log = existsSync(file)
    ? readFileSync(file, 'utf8').trim().split('\n').slice(-LOG_LINES).join('\n')
    : ''
  return new LocalServerError(
    'DID_NOT_START',
    `${name} did not start. ${(cause as Error).message} Its log ends with: ${log}`,
    { cause },
  )
}
