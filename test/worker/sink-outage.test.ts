import { notes } from '@headwater/conformance'
import {
  HeadwaterError,
  retry,
  startWorker,
  type Log,
  type Worker,
  type WorkerOptions,
} from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { appendEach, drained, openTestLog, statusOf } from './test-log.ts'
import { watchedSink, type WatchedSink } from './watched-sink.ts'
import { WorkerEvents } from './worker-events.ts'

let server: RedisServer
let log: Log
let sink: WatchedSink
let events: WorkerEvents
let worker: Worker | undefined

beforeAll(async () => {
  server = await startRedis()
})

beforeEach(async () => {
  log = await openTestLog(server.options)
  sink = watchedSink()
  events = new WorkerEvents()
})

afterEach(async () => {
  await worker?.stop()
  worker = undefined
  await log.close()
})

afterAll(async () => {
  await server.stop()
})

async function start(
  groups: WorkerOptions['groups'] = { copy: { sink, coalesce: false } },
  options: Partial<WorkerOptions> = {},
): Promise<void> {
  worker = await startWorker(log, {
    groups,
    onEvent: events.note,
    retry: { firstMs: 5, maxMs: 50 },
    ...options,
  })
}

const down = new HeadwaterError('SINK_UNAVAILABLE', 'The sink is down for now.')
const numbers = Array.from({ length: 30 }, (_, at) => at + 1)
const keyOf = (content: number): string => `note-${content % 3}`

describe('a sink that is down', () => {
  it.each([
    ['throws', () => Promise.reject(down)],
    ['throws what no adapter should', () => Promise.reject(new TypeError('undefined is not a function'))],
    ['answers not now', ({ changes }: { changes: readonly unknown[] }) => changes.map(() => retry(down))],
  ])('and %s gets every change in order when it is back, and loses none', async (_, answer) => {
    sink.answer = answer
    await start()
    await appendEach(log, numbers, keyOf)
    await eventually(() => expect(sink.calls.length).toBeGreaterThan(20))
    expect(
      events
        .of('retrying')
        .map(({ attempt }) => attempt)
        .slice(0, 3),
    ).toEqual([1, 10, 20])
    expect(await statusOf(log, 'copy')).toMatchObject({ checkpoint: '0:0-0', parked: 0 })
    const applied: [string, number][] = []
    sink.answer = ({ changes }) => {
      for (const { key, stamp } of changes) applied.push([key, stamp.sequence])
      return undefined
    }
    await drained(log, 'copy')
    for (const of of ['note-0', 'note-1', 'note-2']) {
      const order = applied.filter(([key]) => key === of).map(([, sequence]) => sequence)
      expect(order).toEqual(numbers.filter((content) => keyOf(content) === of))
    }
    expect(await statusOf(log, 'copy')).toMatchObject({ checkpoint: '0:1-30', parked: 0 })
    expect(events.of('parked')).toEqual([])
  })

  it('is asked less and less often', async () => {
    const askedAt: number[] = []
    sink.answer = () => {
      askedAt.push(performance.now())
      return Promise.reject(down)
    }
    await start(undefined, { retry: { firstMs: 2, maxMs: 200 } })
    await appendEach(log, [1])
    await eventually(() => expect(askedAt.length).toBeGreaterThan(25))
    const span = (from: number, to: number): number => askedAt[to]! - askedAt[from]!
    // The delays are random below a bound that doubles.
    expect(span(20, 25)).toBeGreaterThan(span(0, 5))
  })

  it('does not hold up another group of the same worker', async () => {
    const other = watchedSink()
    sink.answer = () => Promise.reject(down)
    await start({ copy: sink, other })
    await appendEach(log, numbers, keyOf)
    await drained(log, 'other')
    expect(other.entries().size).toBe(3)
    expect(await statusOf(log, 'copy')).toMatchObject({ checkpoint: '0:0-0', lag: 30 })
  })

  it('does not hold up its successor: what was refused is taken up by the next worker', async () => {
    sink.answer = () => Promise.reject(down)
    await start()
    await appendEach(log, [1, 2, 3])
    await eventually(() => expect(sink.calls.length).toBeGreaterThan(1))
    await worker!.stop()
    sink.answer = () => undefined
    await start()
    await drained(log, 'copy')
    expect(sink.entries().get('lamp')).toEqual({ id: 'lamp', content: 3 })
  })
})

describe('a call that never settles', () => {
  it('is left behind, and its partition opened anew', async () => {
    let hung = 0
    sink.answer = () => (hung++ === 0 ? new Promise(() => {}) : undefined)
    await start({ copy: { sink, coalesce: false, applyTimeoutMs: 200 } })
    await appendEach(log, [1, 2, 3])
    await drained(log, 'copy')
    expect(sink.entries().get('lamp')).toEqual({ id: 'lamp', content: 3 })
    expect(events.of('retrying').map(({ error }) => error.code)).toContain('SINK_UNAVAILABLE')
    // Under a token of its own, so that the call cannot do harm should it go on.
    expect(new Set(sink.calls.map(({ fence }) => fence.token)).size).toBe(2)
  })
})

describe('a key that the sink does not take for now', () => {
  it('waits, keeps its order, and lets the others go on', async () => {
    let stuck = true
    sink = watchedSink({ batch: { changes: 1, bytes: 1_048_576 } })
    sink.answer = ({ changes }) =>
      stuck && changes.some(({ key }) => key === 'note-0') ? changes.map(() => retry(down)) : undefined
    await start({ copy: { sink, coalesce: false } })
    await appendEach(log, numbers, keyOf)
    await eventually(() => {
      expect(sink.entries().get('note-1')).toMatchObject({ content: 28 })
      expect(sink.entries().get('note-2')).toMatchObject({ content: 29 })
    })
    expect(sink.entries().has('note-0')).toBe(false)
    expect(await statusOf(log, 'copy')).toMatchObject({ checkpoint: '0:1-2' })
    stuck = false
    await drained(log, 'copy')
    expect(sink.entries().get('note-0')).toMatchObject({ content: 30 })
  })
})

describe('changes of a key that wait together', () => {
  it('go as their newest, unless the group declines', async () => {
    const every = watchedSink()
    let open!: () => void
    const gate = new Promise<void>((resolve) => (open = resolve))
    for (const one of [sink, every]) {
      one.answer = async () => {
        await gate
        return undefined
      }
    }
    await start({ newest: sink, every: { sink: every, coalesce: false } })
    await log.append(notes.put({ id: 'first', content: 0 }))
    await eventually(() => expect([sink.calls.length, every.calls.length]).toEqual([1, 1]))
    await appendEach(log, [1, 2, 3, 4, 5])
    await eventually(async () => {
      for (const group of ['newest', 'every']) expect((await statusOf(log, group)).pending).toBe(6)
    })
    open()
    await drained(log, 'newest')
    await drained(log, 'every')
    expect(sink.offered()).toEqual([1, 6])
    expect(every.offered()).toEqual([1, 2, 3, 4, 5, 6])
  })
})
