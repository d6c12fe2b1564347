import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import type { Random } from '../support/random.ts'
import { storm } from './storm.ts'

/** Runs a capture in a process of its own while its source is written to, and kills it somewhere in its work. */
export async function killCapture(
  file: string,
  env: Readonly<Record<string, string>>,
  source: Redis,
  random: Random,
): Promise<void> {
  const program = fork(join(import.meta.dirname, file), {
    execArgv: ['--conditions=@headwater/source', '--import', 'tsx'],
    env: { ...process.env, ...env },
  })
  const commands = storm(source, random, 60)
  await once(program, 'message')
  // The commands are not all there when the first is.
  await storm(source, random, random.between(1, 30))
  program.kill('SIGKILL')
  await once(program, 'exit')
  await commands
}
