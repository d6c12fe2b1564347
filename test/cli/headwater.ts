import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { eventually } from '../support/eventually.ts'

/** The program as a process is started with it, before the arguments of a call. */
export const program: readonly string[] = [
  process.execPath,
  '--conditions=@headwater/source',
  '--import',
  import.meta.resolve('tsx'),
  fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url)),
]

export interface CallOptions {
  /** Added to an environment that names no Redis and no namespace. */
  readonly env?: Readonly<Record<string, string>>
  /** Default: a folder without a config file. */
  readonly cwd?: string
  /** What stdin holds. Default: nothing. */
  readonly input?: string | Buffer
  /** Whether more input may come, by `process.stdin`. Default false. */
  readonly moreInput?: boolean
  /** What is started before the arguments of the call. Default: the program itself. */
  readonly program?: readonly string[]
}

/** How a call ended, and what it said. */
export interface Ended {
  /** The exit code, or the signal that ended the process. */
  readonly ending: number | NodeJS.Signals
  readonly stdout: string
  readonly stderr: string
}

/** A call of `headwater` that runs as a process of its own. It does not outlive its test. */
export class Call {
  readonly process: ChildProcessWithoutNullStreams
  readonly #ended: Promise<number | NodeJS.Signals>
  stdout = ''
  stderr = ''

  constructor(
    args: readonly string[],
    { env, cwd = tmpdir(), input = '', moreInput = false, ...how }: CallOptions = {},
  ) {
    const { REDIS_URL: _, HEADWATER_NAMESPACE: __, INIT_CWD: ___, ...inherited } = process.env
    const [command, ...rest] = [...(how.program ?? program), ...args] as [string, ...string[]]
    const child = spawn(command, rest, { cwd, env: { ...inherited, ...env }, stdio: 'pipe' })
    this.process = child
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    // A call that ends early leaves what it did not read.
    child.stdin.on('error', () => {}).write(input)
    if (!moreInput) child.stdin.end()
    this.#ended = once(child, 'close').then(
      ([code, signal]) => (code as number | null) ?? (signal as NodeJS.Signals),
    )
    onTestFinished(() => void child.kill('SIGKILL'))
  }

  async ended(): Promise<Ended> {
    return { ending: await this.#ended, stdout: this.stdout, stderr: this.stderr }
  }

  /** Waits for a line on stdout or stderr that contains the text. */
  async says(text: string): Promise<void> {
    await eventually(
      () => {
        if (this.stdout.includes(text) || this.stderr.includes(text)) return
        throw new Error(`Not said: ${text}\nstdout: ${this.stdout}\nstderr: ${this.stderr}`)
      },
      { timeoutMs: 20_000 },
    )
  }
}

export function headwater(args: readonly string[], options?: CallOptions): Promise<Ended> {
  return new Call(args, options).ended()
}

/** What a program reads that asked for `--json`. */
export function lastLine({ stdout }: Ended): unknown {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
}

/** Every line of stdout, of a command that gives one value a line. */
export function everyLine<T = unknown>({ stdout }: Ended): T[] {
  return stdout
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T)
}

/** What is started instead of the program to run a call on a terminal of its own. */
export function terminalCommand(args: readonly string[]): string[] {
  const command = [...program, ...args].map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ')
  // util-linux takes a command line, the BSDs take words.
  const script =
    process.platform === 'linux'
      ? ['-qec', `exec ${command}`, '/dev/null']
      : ['-q', '/dev/null', 'sh', '-c', command]
  // In CI Node gives no colours, and what is asked is what people see.
  return ['env', '-u', 'CI', 'script', ...script]
}
