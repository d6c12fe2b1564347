import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { compileProgram } from './compile-program.ts'

/** Functions that another process offers: arguments and results pass as JSON. */
export type Calls = Readonly<Record<string, (...parameters: never[]) => unknown>>

export interface CallRequest {
  readonly id: number
  readonly name: string
  readonly parameters: readonly unknown[]
}

export type CallAnswer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string }

/** A process of its own that takes part in a measurement. It ends with this one. */
export class Part<Offered extends Calls> implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #answers = new Map<number, (answer: CallAnswer) => void>()
  #calls = 0

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#child.on('message', (answer: CallAnswer) => this.#answers.get(answer.id)?.(answer))
    this.#child.once('exit', (code, signal) => {
      const error = `The process ended with ${signal ?? `code ${code}`}.`
      for (const [id, settle] of this.#answers) settle({ id, error })
    })
  }

  /** Starts a program of this folder's parent that calls `serve`. */
  static async start<Offered extends Calls>(program: string): Promise<Part<Offered>> {
    const file = await compileProgram(program)
    // Stdout is for results.
    return new Part(fork(file, { execArgv: [], stdio: ['ignore', process.stderr, 'inherit', 'ipc'] }))
  }

  call<Name extends keyof Offered & string>(
    name: Name,
    ...parameters: Parameters<Offered[Name]>
  ): Promise<Awaited<ReturnType<Offered[Name]>>> {
    const id = ++this.#calls
    return new Promise((resolve, reject) => {
      this.#answers.set(id, (answer) => {
        this.#answers.delete(id)
        if ('error' in answer) reject(new Error(answer.error))
        else resolve(answer.result as Awaited<ReturnType<Offered[Name]>>)
      })
      this.#child.send({ id, name, parameters } satisfies CallRequest)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}
