import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { eventually } from './eventually.ts'
import type { ToldEvent, WorkerProcessOptions } from './worker-process-options.ts'

/** A worker in a process of its own. */
export class ChildWorker implements AsyncDisposable {
  /** Everything that it told so far. */
  readonly events: ToldEvent[] = []
  readonly #process: ChildProcess
  readonly #exited: Promise<unknown>
  #complaints = ''

  private constructor(options: WorkerProcessOptions) {
    const program = fileURLToPath(new URL('worker-process.ts', import.meta.url))
    this.#process = spawn(
      process.execPath,
      ['--conditions=@headwater/source', '--import', 'tsx', program, JSON.stringify(options)],
      {
        cwd: fileURLToPath(new URL('..', import.meta.url)),
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      },
    )
    this.#exited = once(this.#process, 'exit')
    this.#process.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#complaints += text))
    this.#process.on('message', (event) => this.events.push(event as ToldEvent))
  }

  /** Settles when it works. */
  static async start(options: WorkerProcessOptions): Promise<ChildWorker> {
    const child = new ChildWorker(options)
    await Promise.race([
      child.told('started', { timeoutMs: 120_000 }),
      child.#exited.then(() => {
        throw new Error(`The worker process ended without a word: ${child.complaints}`)
      }),
    ])
    return child
  }

  /** What it wrote to its standard error: nothing, when all is well. */
  get complaints(): string {
    return this.#complaints
  }

  get exitCode(): number | null {
    return this.#process.exitCode
  }

  /** The first event of this kind, as soon as there is one. */
  async told(
    kind: ToldEvent['kind'],
    { timeoutMs = 10_000 }: { timeoutMs?: number } = {},
  ): Promise<ToldEvent> {
    return await eventually(
      () => {
        const event = this.events.find((event) => event.kind === kind)
        if (event) return event
        throw new Error(`No "${kind}" among ${JSON.stringify(this.events)}.`)
      },
      { timeoutMs, everyMs: 5 },
    )
  }

  /** Sends a signal; one that ends it is waited for. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    this.#process.kill(signal)
    if (signal === 'SIGKILL' || signal === 'SIGTERM') await this.#exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.kill('SIGKILL')
  }
}
