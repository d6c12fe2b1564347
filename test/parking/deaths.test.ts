import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { notes } from '@headwater/conformance'
import { HeadwaterError, reject, startWorker, type Log } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { compileProgram } from '../support/compile-program.ts'
import { eventually } from '../support/eventually.ts'
import { drained, openTestLog, statusOf } from '../worker/test-log.ts'
import { watchedSink } from '../worker/watched-sink.ts'
import type { PoisonProcessOptions } from './poison-process.ts'

const group = 'copy'
let server: OwnRedisServer
let client: Redis
let program: string
let log: Log
let prefix: string
let told: string[]
const children: ChildProcess[] = []

beforeAll(async () => {
  program = await compileProgram(new URL('poison-process.ts', import.meta.url))
  server = await startRedis({ own: true })
  client = new Redis(server.options)
})

beforeEach(async () => {
  log = await openTestLog(server.options)
  prefix = `sink-${log.namespace}`
  told = []
})

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await log.close()
})

afterAll(async () => {
  client.disconnect()
  await server.stop()
})

function start(): ChildProcess {
  const options: PoisonProcessOptions = {
    log: server.options,
    namespace: log.namespace,
    group,
    prefix,
    leaseMs: 800,
  }
  const child = fork(program, [JSON.stringify(options)], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  child.on('message', (kind) => told.push(kind as string))
  children.push(child)
  return child
}

/** Starts workers, each when the one before it has died, until everything is looked after; how many died. */
function superviseUntilDone(): Promise<number> {
  return superviseUntil(async () => expect(await statusOf(log, group)).toMatchObject({ lag: 0, pending: 0 }))
}

async function superviseUntil(isDone: () => Promise<void>): Promise<number> {
  for (let deaths = 0; ; deaths++) {
    const child = start()
    const done = eventually(isDone, { timeoutMs: 20_000 }).then(() => false)
    const died = await Promise.race([once(child, 'exit').then(() => true), done])
    if (!died) return deaths
    done.catch(() => {})
    if (deaths > 6) throw new Error('They die and die.')
  }
}

describe('a change that kills the workers that apply it', () => {
  it('is parked after as many deaths as the group allows, alone: its neighbours are applied', async () => {
    await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        log.append(notes.put({ id: `note-${at}`, content: at === 9 ? 'poison' : at })),
      ),
    )
    await log.append(notes.put({ id: 'note-9', content: 'better' }))
    // One more where the checkpoint moved up to it in the first life.
    const deaths = await superviseUntilDone()
    expect(deaths).toBeGreaterThanOrEqual(3)
    expect(deaths).toBeLessThanOrEqual(4)
    expect(await log.parking(group).list()).toMatchObject([
      { key: 'note-9', reason: 'WORKER_DIED', changes: 2 },
    ])
    const values = await client.keys(`${prefix}:note-*`)
    expect(values).toHaveLength(19)
    expect(told).toContain('isolating')
  }, 60_000)
})

describe('a parked change that kills the workers that feed it back', () => {
  it('stays parked after as many deaths, and what was asked for with it is fed back', async () => {
    const sink = watchedSink()
    sink.answer = ({ changes }) =>
      changes.map(() => reject(new HeadwaterError('SINK_REJECTED', 'Not today.')))
    const worker = await startWorker(log, { groups: { [group]: sink } })
    for (const [id, content] of [
      ['lamp', 1],
      ['desk', 'poison'],
      ['chair', 1],
    ] as const)
      await log.append(notes.put({ id, content }))
    await drained(log, group)
    await worker.stop()
    await log.parking(group).redrive({ timeoutMs: 0 })
    const done = async () => {
      const parked = await log.parking(group).list()
      expect(parked).toMatchObject([{ key: 'desk', reason: 'WORKER_DIED', redriving: false, refused: 1 }])
    }
    expect(await superviseUntil(done)).toBe(3)
    expect(await client.exists(`${prefix}:lamp`, `${prefix}:chair`, `${prefix}:desk`)).toBe(2)
  }, 60_000)
})

describe('workers that die for other reasons', () => {
  it('park nothing, however often they die before their work is done', async () => {
    for (let at = 0; at < 3; at++) {
      const child = start()
      await eventually(() => expect(told.filter((kind) => kind === 'acquired')).toHaveLength(at + 1), {
        timeoutMs: 20_000,
      })
      // What is appended now waits while nobody is alive.
      child.kill('SIGKILL')
      await once(child, 'exit')
      // None of them is to have a change in hand.
      await log.steering.pause(group)
      await log.append(notes.put({ id: `note-${at}`, content: at }))
    }
    await log.steering.resume(group)
    expect(await superviseUntilDone()).toBe(0)
    expect(await log.parking(group).list()).toEqual([])
    expect(await client.keys(`${prefix}:note-*`)).toHaveLength(3)
  }, 60_000)
})
