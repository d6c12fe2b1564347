import { notes } from '@headwater/conformance'
import { connect, startWorker, type Log, type Worker } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { chooseBy } from '../parking/choosy-sink.ts'
import { eventually } from '../support/eventually.ts'
import { drained, openTestLog, statusOf } from '../worker/test-log.ts'
import { watchedSink, type WatchedSink } from '../worker/watched-sink.ts'
import { WorkerEvents } from '../worker/worker-events.ts'

const group = 'copy'
let server: OwnRedisServer
let log: Log
/** As another process steers it. */
let elsewhere: Log
let sink: WatchedSink
let events: WorkerEvents
const running: Worker[] = []

beforeAll(async () => {
  server = await startRedis({ own: true })
})

beforeEach(async () => {
  log = await openTestLog(server.options, { partitions: 2 })
  elsewhere = await connect(server.options, { namespace: log.namespace, collections: [notes] })
  sink = watchedSink({ concurrency: 4 })
  events = new WorkerEvents()
})

afterEach(async () => {
  for (const worker of running.splice(0)) await worker.stop()
  await elsewhere.close()
  await log.close()
})

afterAll(() => server.stop())

async function start(options: { readonly own?: WatchedSink } = {}): Promise<Worker> {
  const worker = await startWorker(log, {
    groups: { [group]: options.own ?? sink },
    leaseMs: 1_000,
    stalledAfterMs: 200,
    onEvent: events.note,
  })
  running.push(worker)
  return worker
}

const fill = (count: number): Promise<unknown> =>
  Promise.all(
    Array.from({ length: count }, (_, at) => log.append(notes.put({ id: `note-${at}`, content: at }))),
  )

/** Both partitions work like that. */
const steered = (expected: object): Promise<void> =>
  eventually(() => {
    for (const partition of [0, 1]) {
      expect(events.of('steered', partition).at(-1)).toMatchObject(expected)
    }
  })

describe('a group that is paused', () => {
  it('gives nothing to its sink, says so, and goes on where it stood', async () => {
    const worker = await start()
    await eventually(() => expect(worker.health().groups[group]!.partitions).toHaveLength(2))
    await elsewhere.steering.pause(group)
    await steered({ paused: true })
    await fill(20)
    await eventually(async () => expect((await statusOf(log, group)).lag).toBeGreaterThan(0))
    // Long enough to count as stalled, if it were not paused.
    await eventually(() => expect(worker.health().groups[group]!.lag).toBe(20))
    const { paused, stalled, ready } = worker.health().groups[group]!
    expect({ paused, stalled, ready }).toEqual({ paused: [0, 1], stalled: [], ready: true })
    expect(sink.calls).toEqual([])
    expect(await statusOf(log, group)).toMatchObject({ paused: true, owner: worker.name })
    expect(await log.steering.state()).toMatchObject({ groups: { [group]: { paused: true } } })

    await elsewhere.steering.resume(group)
    await drained(log, group)
    expect(sink.entries().size).toBe(20)
    expect(await statusOf(log, group)).toMatchObject({ paused: false })
    expect(await log.steering.state()).toEqual({ groups: {}, drained: {} })
  })

  it('stays paused with the next worker', async () => {
    const worker = await start()
    await log.steering.pause(group)
    await worker.stop()
    events.all.length = 0
    await start()
    await fill(10)
    await steered({ paused: true })
    expect(sink.calls).toEqual([])
    await log.steering.resume(group)
    await drained(log, group)
  })

  it('may be one partition alone', async () => {
    await start()
    await log.steering.pause(group, { partition: 1 })
    await eventually(() => expect(events.of('steered', 1)).toMatchObject([{ paused: true }]))
    await fill(30)
    await eventually(async () =>
      expect(await statusOf(log, group, 0)).toMatchObject({ lag: 0, paused: false }),
    )
    expect(await statusOf(log, group, 1)).toMatchObject({ paused: true })
    expect(new Set(sink.calls.map(({ partition }) => partition))).toEqual(new Set([0]))
    await log.steering.resume(group, { partition: 1 })
    await drained(log, group)
    expect(sink.entries().size).toBe(30)
  })

  it('feeds nothing back either', async () => {
    const taste = { dislikes: () => true }
    chooseBy(sink, taste)
    await start()
    await fill(1)
    await drained(log, group)
    await log.steering.pause(group)
    await steered({ paused: true })
    taste.dislikes = () => false
    expect(await log.parking(group).redrive({ timeoutMs: 100 })).toMatchObject({
      waiting: [{ key: 'note-0' }],
    })
    expect(sink.entries().size).toBe(0)
    await log.steering.resume(group)
    await events.first('redriven')
    expect(sink.entries().size).toBe(1)
  })
})

describe('a group whose pace is changed', () => {
  it('keeps to so many changes a second, each partition its share, until it is set free', async () => {
    await start()
    await elsewhere.steering.set(group, { changesPerSecond: 40 })
    await steered({ changesPerSecond: 20 })
    const began = performance.now()
    await fill(60)
    await drained(log, group)
    // Some 30 in each partition; a fifth of a second's worth passes at once.
    expect(performance.now() - began).toBeGreaterThan(800)
    expect(await log.steering.state()).toMatchObject({ groups: { [group]: { changesPerSecond: 40 } } })
    await elsewhere.steering.set(group, { changesPerSecond: 'default' })
    await steered({ changesPerSecond: undefined })
    expect((await log.steering.state()).groups).toEqual({})
  })

  it('makes so many calls at once, and never more than the sink takes', async () => {
    sink = watchedSink({ concurrency: 4, batch: { changes: 1, bytes: 1_000 } })
    let atOnce = 0
    let most = 0
    sink.answer = async ({ partition }) => {
      if (partition === 1) return undefined
      most = Math.max(most, ++atOnce)
      await new Promise((resolve) => setImmediate(resolve))
      atOnce--
      return undefined
    }
    await start()
    await log.steering.set(group, { concurrency: 2 })
    await steered({ concurrency: 2 })
    await fill(40)
    await drained(log, group)
    expect(most).toBe(2)
    await log.steering.set(group, { concurrency: 100 })
    await steered({ concurrency: 4 })
  })
})

describe('a worker that is drained', () => {
  it('hands everything over, the others take it, and it stays idle until it is called back', async () => {
    const first = await start()
    const second = await start({ own: watchedSink({ target: sink.target }) })
    await eventually(async () => {
      const owners = (await log.groups()).map(({ owner }) => owner)
      expect(new Set(owners)).toEqual(new Set([first.name, second.name]))
    })
    await elsewhere.steering.drain(first.name)
    expect(events.of('released').at(-1)).toMatchObject({ reason: 'drained' })
    await eventually(async () => {
      expect((await log.groups()).map(({ owner }) => owner)).toEqual([second.name, second.name])
    })
    expect(Object.keys((await log.steering.state()).drained)).toEqual([first.name])
    await fill(20)
    await drained(log, group)
    expect(first.health()).toMatchObject({ live: true, ready: true })

    await elsewhere.steering.undrain(first.name)
    await eventually(async () => {
      const owners = (await log.groups()).map(({ owner }) => owner)
      expect(new Set(owners)).toEqual(new Set([first.name, second.name]))
    })
  })

  it('leaves nothing behind when it stops', async () => {
    const worker = await start()
    await eventually(async () => expect((await statusOf(log, group)).owner).toBe(worker.name))
    await log.steering.drain(worker.name)
    await worker.stop()
    expect(await log.steering.state()).toEqual({ groups: {}, drained: {} })
  })
})

it.each([
  ['GROUP_UNKNOWN', () => log.steering.pause('nobody')],
  ['GROUP_UNKNOWN', () => log.steering.set('nobody', { concurrency: 1 })],
  ['OPTION_INVALID', () => log.steering.pause(group, { partition: 2 })],
  ['OPTION_INVALID', () => log.steering.set(group, {})],
  ['OPTION_INVALID', () => log.steering.set(group, { concurrency: 0 })],
  ['OPTION_INVALID', () => log.steering.set(group, { concurrency: 1.5 })],
  ['OPTION_INVALID', () => log.steering.set(group, { changesPerSecond: Number.NaN })],
  ['WORKER_UNKNOWN', () => log.steering.drain('nobody')],
])('refuses what cannot be with %s', async (code, steer) => {
  await start()
  await expect(steer()).rejects.toMatchObject({ code })
  expect(await log.steering.state()).toEqual({ groups: {}, drained: {} })
})
