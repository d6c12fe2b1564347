import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { KeeperEvent, KeeperRequest, RunRequest } from './keeper-protocol.ts'
import { LocalServerError } from './local-server-error.ts'
import { removeRemains } from './remains.ts'

/** How a process ended. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process that the keeper runs for us. */
export interface KeptProcess {
  readonly pid: number
  readonly exited: Promise<Exit>
  /** The exit, once it has happened. */
  exit(): Exit | undefined
  signal(signal: NodeJS.Signals): void
}

/** The starter's end of its keeper. */
export interface KeeperLink {
  /** Makes a folder for one server; it goes with the keeper at the latest. */
  createFolder(): string
  run(request: Omit<RunRequest, 'type' | 'id'>): Promise<KeptProcess>
}

let current: Promise<KeeperLink> | undefined

/** The keeper of this process; the first call starts it, and a call after its death starts another. */
export function keeperLink(): Promise<KeeperLink> {
  current ??= startKeeper(() => (current = undefined))
  return current
}

// A Unix socket's path has room for 103 bytes on macOS and 107 on Linux; some temporary folders take most of it.
const SOCKET_FOLDER_LENGTH_MAX = 64

function shortTemporaryFolder(): string {
  const folder = tmpdir()
  return Buffer.byteLength(folder) > SOCKET_FOLDER_LENGTH_MAX ? '/tmp' : folder
}

async function startKeeper(onEnd: () => void): Promise<KeeperLink> {
  const keeper = spawnKeeper()
  const link = new PipedKeeperLink(keeper)
  keeper.once('exit', onEnd)
  keeper.once('error', onEnd)
  await link.ready
  return link
}

function spawnKeeper(): Keeper {
  // Beside this file, and of its kind: TypeScript in a checkout, JavaScript in the published package.
  const source = import.meta.url.endsWith('.ts')
  const program = fileURLToPath(new URL(source ? './keeper.ts' : './keeper.js', import.meta.url))
  const loader = source ? ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href] : []
  const { NODE_OPTIONS: _, ...env } = process.env
  // A group of its own: Ctrl-C in a terminal is for the starter, whose end then ends the keeper.
  return spawn(process.execPath, [...loader, program, shortTemporaryFolder()], {
    cwd: '/',
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
}

type Keeper = ChildProcessByStdio<Writable, Readable, Readable>

class PipedKeeperLink implements KeeperLink {
  readonly ready: Promise<void>
  readonly #keeper: Keeper
  readonly #starts = new Map<number, { resolve(process: KeptProcess): void; reject(error: Error): void }>()
  readonly #exits = new Map<number, (exit: Exit) => void>()
  #folder = ''
  #complaints = ''
  #requests = 0
  #ended = false

  constructor(keeper: Keeper) {
    this.#keeper = keeper
    this.ready = new Promise((resolve, reject) => {
      const onEvent = (event: KeeperEvent) => {
        if (event.type === 'ready') {
          this.#folder = event.folder
          this.#letStarterEnd()
          resolve()
        } else this.#handle(event)
      }
      const onEnd = (cause?: Error) => {
        this.#ended = true
        const error = this.#endedError(cause)
        reject(error)
        for (const start of this.#starts.values()) start.reject(error)
        // Its servers ended with it, or end here.
        void this.#removeRemains()
      }
      createInterface({ input: keeper.stdout }).on('line', (line) => onEvent(JSON.parse(line) as KeeperEvent))
      keeper.stderr.setEncoding('utf8').on('data', (text: string) => {
        this.#complaints = (this.#complaints + text).slice(-2_000)
      })
      keeper.stdin.on('error', () => {})
      keeper.once('error', onEnd)
      keeper.once('exit', () => onEnd())
    })
  }

  createFolder(): string {
    return mkdtempSync(join(this.#folder, 's'))
  }

  run(request: Omit<RunRequest, 'type' | 'id'>): Promise<KeptProcess> {
    const id = this.#requests++
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#endedError())
      this.#starts.set(id, { resolve, reject })
      this.#send({ type: 'run', id, ...request })
    })
  }

  #handle(event: Exclude<KeeperEvent, { type: 'ready' }>): void {
    if (event.type === 'exit') {
      this.#exits.get(event.pid)?.({ code: event.code, signal: event.signal })
      this.#exits.delete(event.pid)
      return
    }
    const start = this.#starts.get(event.id)
    this.#starts.delete(event.id)
    this.#letStarterEnd()
    if (event.type === 'failed') start?.reject(new LocalServerError('DID_NOT_START', event.message))
    else start?.resolve(this.#keptProcess(event.pid))
  }

  #keptProcess(pid: number): KeptProcess {
    let exit: Exit | undefined
    const exited = new Promise<Exit>((resolve) => {
      this.#exits.set(pid, (value) => {
        exit = value
        resolve(value)
      })
    })
    return { pid, exited, exit: () => exit, signal: (signal) => this.#send({ type: 'signal', pid, signal }) }
  }

  #send(request: KeeperRequest): void {
    this.#keeper.stdin.write(`${JSON.stringify(request)}\n`)
  }
}
