import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type {
  BorrowRequest,
  KeeperAnswer,
  KeeperEvent,
  KeeperRequest,
  RunRequest,
} from './keeper-protocol.ts'
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
  /** How it ended, once it has. */
  readonly exit: Exit | undefined
  /** Settles when it ends; does not keep this process running. */
  readonly exited: Promise<Exit>
  /** Waits for its end, and keeps this process running meanwhile. */
  waitForExit(): Promise<Exit>
  /** Settles when the signal is sent. */
  signal(signal: NodeJS.Signals): Promise<void>
}

type KeeperProcess = ChildProcessByStdio<Writable, Readable, Readable>

// The path of a Unix socket has room for 103 bytes on macOS and 107 on Linux; some temporary folders take most of it.
const FOLDER_LENGTH_MAX = 50

let current: KeeperLink | undefined

/** This process's end of its keeper. The first call starts the keeper, and a call after its death another one. */
export async function keeperLink(): Promise<KeeperLink> {
  if (process.platform === 'win32') {
    throw new LocalServerError(
      'SYSTEM_NOT_SUPPORTED',
      'Local servers need Unix sockets and signals. On Windows, run this in WSL.',
    )
  }
  if (current === undefined || current.ended) current = new KeeperLink(spawnKeeper())
  await current.ready
  return current
}

function spawnKeeper(): KeeperProcess {
  // Beside this file and of its kind: TypeScript in a checkout, JavaScript in the published package.
  const isSource = import.meta.url.endsWith('.ts')
  const program = fileURLToPath(new URL(isSource ? './keeper.ts' : './keeper.js', import.meta.url))
  const loader = isSource
    ? ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href]
    : []
  const folder = Buffer.byteLength(tmpdir()) > FOLDER_LENGTH_MAX ? '/tmp' : tmpdir()
  // A debugger or a loader that the starter was given is not for the keeper.
  const { NODE_OPTIONS: _, ...env } = process.env
  return spawn(process.execPath, [...loader, program, folder], {
    cwd: '/',
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C in a terminal is for the starter, whose end then ends the keeper.
    detached: true,
  })
}

/** The starter's end of the pipe to its keeper: while it is open, the servers live. */
export class KeeperLink {
  /** Settles when the keeper answers. */
  readonly ready: Promise<void>
  readonly #keeper: KeeperProcess
  readonly #answers = new Map<number, (answer: KeeperAnswer | LocalServerError) => void>()
  readonly #exits = new Map<number, (exit: Exit) => void>()
  #folder = ''
  #complaints = ''
  #requests = 0
  #waiting = 0
  #ended = false

  constructor(keeper: KeeperProcess) {
    this.#keeper = keeper
    keeper.unref()
    for (const stream of [keeper.stdin, keeper.stdout, keeper.stderr]) (stream as Socket).unref()
    this.ready = this.#holdingOpen(
      new Promise((resolve, reject) => {
        createInterface({ input: keeper.stdout }).on('line', (line) => {
          const event = JSON.parse(line) as KeeperEvent
          if (event.type === 'ready') {
            this.#folder = event.folder
            resolve()
          } else this.#handle(event)
        })
        keeper.once('error', (error) => void this.#end(error).then(reject))
        keeper.once('exit', () => void this.#end().then(reject))
      }),
    )
    keeper.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints = (this.#complaints + text).slice(-2_000)
    })
    // A write to a keeper that has just died: its exit tells the same.
    keeper.stdin.on('error', () => {})
  }

  /** Whether the keeper has gone, and all its servers with it. */
  get ended(): boolean {
    return this.#ended
  }

  /** Makes a folder for one server. It goes with the keeper at the latest. */
  createFolder(): string {
    return mkdtempSync(join(this.#folder, 's'))
  }

  /** Starts a process that ends with this one. */
  run(request: Omit<RunRequest, 'type' | 'id'>): Promise<KeptProcess> {
    // Made as soon as the answer is here: the process may end, and its end be told, at once.
    return this.#ask(
      (id) => ({ type: 'run', id, ...request }),
      ({ pid }) => this.#keptProcess(pid as number),
    )
  }

  /** Has something on a server that is not ours deleted at the end, whatever ends us. */
  borrow(request: Omit<BorrowRequest, 'type' | 'id'>): Promise<void> {
    return this.#ask((id) => ({ type: 'borrow', id, ...request }))
  }

  /** Tells that it is deleted. */
  giveBack(name: string): Promise<void> {
    return this.#ask((id) => ({ type: 'give back', id, name }))
  }

  #ask<T = void>(
    request: (id: number) => KeeperRequest,
    onDone: (answer: KeeperAnswer & { type: 'done' }) => T = () => undefined as T,
  ): Promise<T> {
    if (this.#ended) return Promise.reject(this.#endedError())
    const id = this.#requests++
    const answered = new Promise<T>((resolve, reject) => {
      this.#answers.set(id, (answer) => {
        this.#answers.delete(id)
        if (answer instanceof Error) reject(answer)
        else if (answer.type === 'failed') reject(new LocalServerError('DID_NOT_START', answer.message))
        else resolve(onDone(answer))
      })
    })
    this.#keeper.stdin.write(`${JSON.stringify(request(id))}\n`)
    return this.#holdingOpen(answered)
  }

  #handle(event: Exclude<KeeperEvent, { type: 'ready' }>): void {
    if (event.type === 'exit') this.#exits.get(event.pid)?.({ code: event.code, signal: event.signal })
    else this.#answers.get(event.id)?.(event)
  }

  #keptProcess(pid: number): KeptProcess {
    let exit: Exit | undefined
    const exited = new Promise<Exit>((resolve) => {
      this.#exits.set(pid, (how) => {
        this.#exits.delete(pid)
        exit = how
        resolve(how)
      })
    })
    return {
      pid,
      get exit() {
        return exit
      },
      exited,
      waitForExit: () => this.#holdingOpen(exited),
      signal: (signal) => this.#ask((id) => ({ type: 'signal', id, pid, signal })),
    }
  }

  // The keeper alone keeps no starter running: only somebody who waits for its answer does.
  async #holdingOpen<T>(answer: Promise<T>): Promise<T> {
    const handles = [this.#keeper, this.#keeper.stdout as Socket]
    if (this.#waiting++ === 0) for (const handle of handles) handle.ref()
    try {
      return await answer
    } finally {
      if (--this.#waiting === 0) for (const handle of handles) handle.unref()
    }
  }

  // A killed keeper takes its servers along where the kernel helps; what is left goes here.
  async #end(cause?: Error): Promise<LocalServerError> {
    this.#ended = true
    if (this.#folder !== '') await removeRemains(this.#folder)
    const error = this.#endedError(cause)
    for (const settle of this.#answers.values()) settle(error)
    for (const report of this.#exits.values()) report({ code: null, signal: 'SIGKILL' })
    return error
  }

  #endedError(cause?: Error): LocalServerError {
    const complaints = this.#complaints.trim()
    return new LocalServerError(
      'KEEPER_ENDED',
      `The process that keeps the local servers ended, and the servers with it.${complaints && ` It said: ${complaints}`}`,
      { cause },
    )
  }
}
