import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { compileProgram } from '../support/compile-program.ts'
import type { UpkeepProcessOptions } from './upkeep-process.ts'

let compiled: Promise<string> | undefined

/** A process with upkeep; it is killed when it is disposed of. */
export class UpkeepChild implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #exited: Promise<unknown>
  #complaints = ''

  private constructor(process: ChildProcess) {
    this.#process = process
    this.#exited = once(process, 'exit')
    process.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#complaints += text))
  }

  static async start(options: UpkeepProcessOptions): Promise<UpkeepChild> {
    const program = await (compiled ??= compileProgram(new URL('upkeep-process.ts', import.meta.url)))
    return new UpkeepChild(
      spawn(process.execPath, [program, JSON.stringify(options)], {
        cwd: fileURLToPath(new URL('..', import.meta.url)),
        stdio: ['ignore', 'ignore', 'pipe'],
      }),
    )
  }

  /** What it wrote to its standard error: nothing, when all is well. */
  get complaints(): string {
    return this.#complaints
  }

  get exitCode(): number | null {
    return this.#process.exitCode
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
