import { fork } from 'node:child_process'
import { once } from 'node:events'
import { notes, type Note } from '@headwater/conformance'
import { HeadwaterError, reject, startWorker, type Log } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { expect, onTestFinished } from 'vitest'
import { compileProgram } from '../support/compile-program.ts'
import { eventually } from '../support/eventually.ts'
import { drained, openTestLog } from '../worker/test-log.ts'
import { watchedSink } from '../worker/watched-sink.ts'
import type { RedriveProcessOptions } from './redrive-process.ts'
import { writtenDown } from './written-down.ts'

const group = 'copy'
const leaseMs = 800

/** Parks three keys, asks for all of them while no worker runs, and appends behind them. */
async function parkAndAsk(log: Log): Promise<void> {
  const sink = watchedSink()
  sink.answer = ({ changes }) => changes.map(() => reject(new HeadwaterError('SINK_REJECTED', 'Not today.')))
  const worker = await startWorker(log, { groups: { [group]: sink } })
  for (const [id, content] of [
    ['lamp', 1],
    ['desk', 'venom'],
    ['lamp', 2],
    ['chair', 1],
  ] as const)
    await log.append(notes.put({ id, content }))
  await drained(log, group)
  await worker.stop()
  expect(await log.parking(group).redrive({ timeoutMs: 0 })).toMatchObject({ selected: 3, redriven: 0 })
  await log.append(notes.put({ id: 'lamp', content: 3 }))
  await log.append(notes.put({ id: 'desk', content: 2 }))
}

/** Runs the worker process until it kills itself: false where it has nothing left to do before. */
async function died(program: string, options: RedriveProcessOptions, log: Log): Promise<boolean> {
  const child = fork(program, [JSON.stringify(options)], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const exited = once(child, 'exit').then(() => true)
  return await Promise.race([exited, settled(log).then(() => false)])
}

/** All changes are looked after, and nothing waits to be fed back. */
async function settled(log: Log): Promise<void> {
  await eventually(
    async () => {
      const [status] = await log.groups()
      const parked = await log.parking(group).list()
      expect(status!.lag).toBe(0)
      expect(parked.filter(({ redriving }) => redriving)).toEqual([])
    },
    { timeoutMs: 25_000 },
  )
}

/**
 * Kills a redriver before its commands number `first`, `first + stride` and so on, each time in a log of its own, until one
 * gets done before. After each kill another worker goes on, and everything has to be in place. Gives how many were killed.
 */
export async function killRedrivers(first: number, stride: number): Promise<number> {
  const program = await compileProgram(new URL('redrive-process.ts', import.meta.url))
  await using server = await startRedis({ own: true })
  const client = new Redis(server.options)
  onTestFinished(() => client.disconnect())
  for (let kills = 0, dieBefore = first; ; kills++, dieBefore += stride) {
    await using log = await openTestLog(server.options)
    await parkAndAsk(log)
    const { namespace } = log
    const prefix = `sink-${namespace}`
    const options = { log: server.options, namespace, group, prefix, leaseMs, dieBefore }
    const killed = await died(program, options, log)
    await using _ = await startWorker(log, { groups: { [group]: writtenDown(client, prefix) }, leaseMs })
    await settled(log)
    await inPlace(log, client, prefix)
    if (!killed) return kills
  }
}

async function inPlace(log: Log, client: Redis, prefix: string): Promise<void> {
  const value = async (id: string): Promise<Note['content'] | undefined> => {
    const text = await client.get(`${prefix}:${id}`)
    return text === null ? undefined : (JSON.parse(text) as Note).content
  }
  expect([await value('lamp'), await value('chair')]).toEqual([3, 1])
  const order = await client.lrange(`${prefix}:order`, 0, -1)
  const lamp = order.filter((line) => line.startsWith('lamp'))
  expect(lamp).toEqual(lamp.toSorted())
  expect(new Set(lamp).size).toBe(lamp.length)
  // The bad key either waits still, with what came behind it, or its newer value has put it right.
  const parked = await log.parking(group).list()
  if (parked.length === 0) return expect(await value('desk')).toBe(2)
  expect(parked).toMatchObject([{ key: 'desk', changes: 2, first: '0:1-2', last: '0:1-6' }])
  expect(await value('desk')).toBeUndefined()
}
