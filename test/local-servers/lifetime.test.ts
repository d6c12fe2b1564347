import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { isRunning, parentOf, processTree } from '../support/process-tree.ts'
import { startProgram } from './started-program.ts'

interface Servers {
  readonly redis: { readonly pid: number; readonly dir: string }
  readonly postgres: { readonly pid: number; readonly dir: string }
}

/** Starts a starter that waits, and notes all that has to be gone in the end. */
async function startWaiting() {
  const starter = await startProgram<Servers>('starter-process.ts', { args: ['wait'] })
  const { redis, postgres } = starter.said
  const keeper = parentOf(redis.pid)
  return {
    ...starter,
    keeper,
    processes: processTree(keeper),
    folder: dirname(dirname(redis.dir)),
    sharedMemory: Number(
      readFileSync(join(postgres.dir, 'postmaster.pid'), 'utf8').split('\n')[6]!.split(/\s+/).at(-1),
    ),
  }
}

type Waiting = Awaited<ReturnType<typeof startWaiting>>

function remainsOf({ processes, folder, sharedMemory }: Waiting) {
  return {
    processes: processes.filter(isRunning),
    folder: existsSync(folder),
    sharedMemory: sharedMemorySegments().includes(sharedMemory),
  }
}

// A busy machine takes its time to end Postgres.
const PATIENTLY = { timeoutMs: 20_000 }

const NOTHING = { processes: [], folder: false, sharedMemory: false }

function sharedMemorySegments(): number[] {
  return execFileSync('ipcs', ['-m'], { encoding: 'utf8' })
    .split('\n')
    .map((line) => Number(line.split(/\s+/)[1]))
}

describe('servers of a starter', () => {
  it('run in processes of their own, with a keeper, in one private folder', async () => {
    const starter = await startWaiting()
    const { redis, postgres } = starter.said
    expect(remainsOf(starter)).toEqual({
      processes: expect.arrayContaining([starter.keeper, redis.pid, postgres.pid]) as number[],
      folder: true,
      sharedMemory: true,
    })
    expect(statSync(dirname(redis.dir)).mode & 0o777).toBe(0o700)
    starter.process.kill()
    await starter.exited
  })
})

describe('nothing is left', () => {
  it.each(['SIGKILL', 'SIGINT'] as const)('when the starter gets %s', async (signal) => {
    const starter = await startWaiting()
    starter.process.kill(signal)
    await eventually(() => expect(remainsOf(starter)).toEqual(NOTHING), PATIENTLY)
  })

  it.each(['SIGKILL', 'SIGTERM'] as const)('when the keeper gets %s', async (signal) => {
    const starter = await startWaiting()
    process.kill(starter.keeper, signal)
    await eventually(() => expect(remainsOf(starter)).toEqual(NOTHING), PATIENTLY)
    starter.process.kill('SIGKILL')
  })

  it.each(['redis', 'postgres'] as const)('when %s gets SIGKILL, and then the starter', async (name) => {
    const starter = await startWaiting()
    const { pid } = starter.said[name]
    process.kill(pid, 'SIGKILL')
    await eventually(() => expect(isRunning(pid)).toBe(false))
    starter.process.kill('SIGKILL')
    await eventually(() => expect(remainsOf(starter)).toEqual(NOTHING), PATIENTLY)
  })

  it('when the servers do not run at the moment because of SIGSTOP', async () => {
    const starter = await startWaiting()
    for (const { pid } of [starter.said.redis, starter.said.postgres]) process.kill(pid, 'SIGSTOP')
    starter.process.kill('SIGKILL')
    await eventually(() => expect(remainsOf(starter)).toEqual(NOTHING), PATIENTLY)
  })

  it('when starter and keeper are killed at once, as soon as another starter has come', async () => {
    const starter = await startWaiting()
    process.kill(starter.keeper, 'SIGSTOP')
    starter.process.kill('SIGKILL')
    process.kill(starter.keeper, 'SIGKILL')
    await eventually(() => expect(isRunning(starter.keeper)).toBe(false))
    const next = await startWaiting()
    await eventually(() => expect(remainsOf(starter)).toEqual(NOTHING), PATIENTLY)
    next.process.kill()
    await next.exited
  })

  it.each(['return', 'throw', 'stop'])('when the starter ends by itself: %s', async (how) => {
    const { said, exited } = await startProgram<Servers>('starter-process.ts', { args: [how] })
    await exited
    await eventually(() => {
      expect([said.redis.pid, said.postgres.pid].filter(isRunning)).toEqual([])
      expect(existsSync(dirname(dirname(said.redis.dir)))).toBe(false)
    }, PATIENTLY)
  })
})
