import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'

/** What a program said in its first line, and how to watch it further. */
export interface Started<T> {
  readonly process: ChildProcess
  readonly said: T
  readonly exited: Promise<unknown>
}

/** Runs a program of this folder in a process of its own until it has said its first line, which is JSON. */
export async function startProgram<T>(
  file: string,
  {
    args = [],
    env = process.env,
    prefix = [],
  }: { args?: string[]; env?: NodeJS.ProcessEnv; prefix?: string[] } = {},
): Promise<Started<T>> {
  const [program, ...rest] = [
    ...prefix,
    process.execPath,
    '--conditions=@headwater/source',
    '--import',
    'tsx',
    fileURLToPath(new URL(file, import.meta.url)),
    ...args,
  ]
  const child = spawn(program!, rest, {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  // A test that fails leaves it running otherwise.
  onTestFinished(() => void child.kill('SIGKILL'))
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text))
  const exited = once(child, 'exit')
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line') as Promise<[string]>,
    once(child, 'close').then(() => {
      throw new Error(`${file} ended without a word: ${complaints}`)
    }),
  ])
  return { process: child, said: JSON.parse(line[0]) as T, exited }
}
