import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Settings } from './settings.ts'

/** A worker in a process of its own, which ends with this one. Its end without being asked to is an uncaught error. */
export class RemoteWorker {
  readonly pid: number
  /** The name under which it owns partitions. */
  readonly id: string
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  #mayEnd = false

  private constructor(child: ChildProcess, id: string) {
    this.#child = child
    this.pid = child.pid as number
    this.id = id
    this.#ended = once(child, 'exit')
    child.once('exit', (code, signal) => {
      if (!this.#mayEnd)
        throw new Error(`Worker ${id} (process ${this.pid}) ended by itself: ${signal ?? code}.`)
    })
  }

  /** Starts the process and waits until its groups run. */
  static async start(settings: Settings): Promise<RemoteWorker> {
    const child = fork(program, {
      ...endedWithParent,
      env: { ...process.env, BROWSER_COMPAT_SETTINGS: JSON.stringify(settings) },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    process.once('exit', () => child.kill('SIGKILL'))
    const id = await new Promise<string>((resolve, reject) => {
      child.once('message', (message) => resolve(message as string))
      child.once('error', reject)
      child.once('exit', (code) => reject(new Error(`A worker ended with code ${code} before it was ready.`)))
    })
    return new RemoteWorker(child, id)
  }

  /** Stops it where it is, with everything in its hands, until `thaw` or `kill`. */
  freeze(): void {
    this.#child.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child.kill('SIGCONT')
  }

  /** SIGKILL: it cannot finish, acknowledge or hand over anything. */
  async kill(): Promise<void> {
    this.#mayEnd = true
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  /** Lets it finish what it has in hand. */
  async stop(): Promise<void> {
    this.#mayEnd = true
    this.#child.kill('SIGTERM')
    await this.#ended
  }
}

const program = fileURLToPath(new URL('worker-process.ts', import.meta.url))

// A worker ends when its channel to this process closes. A frozen one cannot notice that, but Linux can end it.
const setpriv = '/usr/bin/setpriv'
const endedWithParent = existsSync(setpriv)
  ? {
      execPath: setpriv,
      execArgv: ['--pdeathsig', 'KILL', '--', process.execPath, ...process.execArgv],
    }
  : {}
