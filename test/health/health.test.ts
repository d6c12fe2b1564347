import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import {
  connect,
  HeadwaterError,
  memorySink,
  startWorker,
  type Log,
  type Sink,
  type SinkPartition,
} from '@headwater/core'
import { startProxy, startRedis, type RedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HealthWatch } from '../../packages/core/src/worker/group-health.ts'
import { eventually } from '../support/eventually.ts'

let server: RedisServer
beforeAll(async () => (server = await startRedis()))
afterAll(() => server.stop())

const openLog = (): Promise<Log> =>
  connect(server.options, {
    namespace: `${server.namespacePrefix}${randomUUID()}`,
    collections: [notes],
    partitions: 2,
  })

/** A memory sink whose applies are ours. */
function sinkThat(apply: (own: SinkPartition['apply']) => SinkPartition['apply']): Sink {
  const sink = memorySink({ collection: notes })
  return {
    ...sink,
    async open(options) {
      const opened = await sink.open(options)
      return { ...opened, apply: apply(opened.apply.bind(opened)) }
    },
  }
}

describe('a worker', () => {
  it('is ready, and stays so while nothing waits', async () => {
    await using log = await openLog()
    const copy = memorySink({ collection: notes })
    await using worker = await startWorker(log, { groups: { copy }, stalledAfterMs: 5_000 })
    await eventually(() => expect(worker.health().groups['copy']!.partitions).toHaveLength(2))
    expect(worker.health()).toEqual({
      live: true,
      ready: true,
      groups: {
        copy: {
          ready: true,
          lag: 0,
          stalled: [],
          standstill: {},
          paused: [],
          partitions: [0, 1],
          copying: [],
          proof: { state: 'pending', ageMs: undefined, different: [] },
        },
      },
    })
    await worker.stop()
    expect(worker.health()).toMatchObject({ live: false, ready: false })
  })

  it('is not ready once changes wait and nothing happens, in the group that stands still alone', async () => {
    await using log = await openLog()
    let answer!: () => void
    const hanging = new Promise<void>((resolve) => (answer = resolve))
    const stuck = sinkThat((apply) => async (...given) => {
      await hanging
      return await apply(...given)
    })
    const copy = memorySink({ collection: notes })
    await using worker = await startWorker(log, {
      groups: { stuck, copy },
      stalledAfterMs: 500,
      drainMs: 100,
    })
    await log.append(notes.put({ id: 'a', content: 1 }))
    // Within 5 seconds of the half that it has to last.
    await eventually(() => expect(worker.health().groups['stuck']!.ready).toBe(false), { timeoutMs: 5_500 })
    const { live, groups } = worker.health()
    expect(live).toBe(true)
    expect(groups['stuck']).toMatchObject({ ready: false, lag: 1 })
    expect(groups['stuck']!.stalled).toHaveLength(1)
    await eventually(() => expect(worker.health().groups['copy']).toMatchObject({ ready: true, lag: 0 }))
    answer()
    await eventually(() => expect(worker.health()).toMatchObject({ ready: true }))
  })

  it('stays ready while a sink that is away is tried again', async () => {
    await using log = await openLog()
    let attempts = 0
    const away = sinkThat(() => async () => {
      attempts++
      throw new HeadwaterError('SINK_UNAVAILABLE', 'no')
    })
    await using worker = await startWorker(log, {
      groups: { away },
      stalledAfterMs: 1_500,
      retry: { firstMs: 10, maxMs: 50 },
    })
    await log.append(notes.put({ id: 'a', content: 1 }))
    const readiness = new Set<boolean>()
    await eventually(() => {
      readiness.add(worker.health().ready)
      // Retried for longer than it may stand still.
      expect(attempts).toBeGreaterThan(100)
    })
    expect([...readiness]).toEqual([true])
    expect(worker.health().groups['away']!.lag).toBe(1)
  })

  it('is not ready while Redis cannot be asked', async () => {
    await using proxy = await startProxy(server.options)
    await using log = await connect(
      { ...server.options, ...proxy.address },
      {
        namespace: `${server.namespacePrefix}${randomUUID()}`,
        collections: [notes],
        deadlineMs: 1_000,
      },
    )
    const copy = memorySink({ collection: notes })
    await using worker = await startWorker(log, { groups: { copy }, stalledAfterMs: 500, drainMs: 0 })
    await eventually(() => expect(worker.health().groups['copy']!.partitions).toHaveLength(8))
    proxy.blackhole()
    await eventually(() => expect(worker.health().ready).toBe(false), { timeoutMs: 5_500 })
    proxy.heal()
    await eventually(() => expect(worker.health().ready).toBe(true))
  })
})

const watch = (): { health: HealthWatch; pass: (ms: number) => void } => {
  let now = 0
  return { health: new HealthWatch(30_000, () => now), pass: (ms) => void (now += ms) }
}

describe('the watch over a group', () => {
  it.each([
    [29_999, true],
    [30_000, false],
  ])('lets a partition stand still for %i ms: ready is %s', (ms, ready) => {
    const { health, pass } = watch()
    for (let at = 0; at < ms; at += 1_000) {
      health.observed(new Map([[0, 1]]))
      pass(Math.min(1_000, ms - at))
    }
    health.observed(new Map([[0, 1]]))
    expect(health.report()).toMatchObject({ ready, stalled: ready ? [] : [0] })
  })

  it('counts from the last thing that happened, and forgets partitions that moved away', () => {
    const { health, pass } = watch()
    health.observed(
      new Map([
        [0, 1],
        [1, 1],
      ]),
    )
    pass(20_000)
    health.progressed(0)
    pass(20_000)
    health.observed(
      new Map([
        [0, 1],
        [1, 1],
      ]),
    )
    expect(health.report().stalled).toEqual([1])
    health.observed(new Map([[0, 1]]))
    expect(health.report()).toMatchObject({ ready: true, partitions: [0] })
  })
})
