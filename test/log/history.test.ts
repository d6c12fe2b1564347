import { randomUUID } from 'node:crypto'
import {
  connect,
  defineCollection,
  memorySink,
  startWorker,
  type AnyCollection,
  type Change,
  type Log,
  type Version,
} from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { counters } from '../decider/counter.ts'
import { eventSink } from '../support/event-sink.ts'
import { eventually } from '../support/eventually.ts'
import { client, openSharedRedis, server } from '../support/shared-redis.ts'

const schema = z.object({ id: z.string(), n: z.int() })
const key = ({ id }: { id: string }): string => id
const things = defineCollection('things', { schema, key })
const visits = defineCollection('visits', { schema, key, state: 'none' })

openSharedRedis()

const openLog = (...collections: AnyCollection[]): Promise<Log> =>
  connect(server.options, {
    namespace: `${server.namespacePrefix}${randomUUID()}`,
    collections,
    partitions: 1,
  })

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

const version = (number: number): Version => String(number) as Version

describe('the history of a key', () => {
  it('is its changes in order, and no other', async () => {
    await using log = await openLog(things, counters)
    await log.append(Array.from({ length: 5 }, (_, n) => things.put({ id: n % 2 ? 'b' : 'a', n })))
    await log.append(things.delete('a'))
    await log.decide(counters, 'a', { do: 'add', n: 1 })
    await log.append(things.put({ id: 'a', n: 9 }))
    const history = await all(log.history(things, 'a'))
    expect(history.map((change) => [change.kind, change.value?.n, change.version])).toEqual([
      ['put', 0, '1'],
      ['put', 2, '2'],
      ['put', 4, '3'],
      ['delete', undefined, '4'],
      ['put', 9, '5'],
    ])
  })

  it('gives its value at every version and position, whatever was appended together', async () => {
    await using log = await openLog(things, counters)
    for (let round = 0; round < 3; round++) {
      await log.append(Array.from({ length: 70 }, (_, n) => things.put({ id: n % 7 ? 'other' : 'a', n })))
      await log.append(things.delete('a'))
      await log.decide(counters, 'a', { do: 'add', n: round, times: 2 })
    }
    for (const change of await all(log.history(things, 'a'))) {
      const at = [{ version: change.version }, { position: change.position }]
      for (const moment of at) expect((await log.getAt(things, 'a', moment))?.value).toEqual(change.value)
    }
    let state = counters.decides.initial()
    for (const { version, value } of await all(log.history(counters, 'a'))) {
      state = counters.decides.evolve(state, value as never)
      expect((await log.getAt(counters, 'a', { version }))?.value).toEqual(state)
    }
    await expect(log.getAt(things, 'a', { version: version(99) })).rejects.toMatchObject({
      code: 'VERSION_INVALID',
    })
    expect(await log.getAt(things, 'nobody', { time: new Date() })).toBeUndefined()
  })

  it('gives its value at a time: a binary search over what the entries say', async () => {
    await using log = await openLog(things)
    await all(log.read(0))
    // Written as the append script writes, but at times of our choosing.
    const partition = `headwater:{${log.namespace}:0}`
    const count = 300
    for (let n = 1; n <= count; n++) {
      const fields = ['first', n, 'time', 1_000 * n, 'types', 'things@1', 'operations', 'p', 'versions', n]
      const payload = JSON.stringify({ id: 'a', n })
      await client.xadd(`${partition}:log`, `1-${n}`, ...fields, 'keys', 'a', 'payloads', payload)
    }
    await client.hset(`${partition}:header`, 'sequence', count)
    for (const n of [1, 2, 150, 299, 300]) {
      for (const time of [1_000 * n, 1_000 * n + 999]) {
        expect((await log.getAt(things, 'a', { time }))?.value).toEqual({ id: 'a', n })
        expect(await log.positionAt(0, time)).toBe(`0:1-${n}`)
      }
    }
    expect(await log.getAt(things, 'a', { time: 999 })).toBeUndefined()
    expect(await log.positionAt(0, 999)).toBe('beginning')

    await client.xtrim(`${partition}:log`, 'MINID', '1-100')
    expect((await log.getAt(things, 'a', { time: 150_000 }))?.value.n).toBe(150)
    expect(await log.positionAt(0, 99_000)).toBe('beginning')
    await expect(log.getAt(things, 'nobody', { time: 150_000 })).rejects.toMatchObject({
      code: 'HISTORY_TRIMMED',
    })
  })
})

describe('a collection without state', () => {
  it('keeps every put as an event of its own, and nothing beside the log', async () => {
    await using log = await openLog(visits)
    const results = await Promise.all([1, 2, 3].map((n) => log.append(visits.put({ id: 'a', n }))))
    expect(results.map((result) => Number(result.version))).toEqual([1, 2, 3])
    const events = await all(log.history(visits, 'a'))
    expect(events.map(({ kind, value }) => [kind, value?.n])).toEqual([1, 2, 3].map((n) => ['event', n]))
    const keys = await client.keys(`headwater:{${log.namespace}:0}:*`)
    expect(keys.filter((name) => /:(state|digest):/.test(name))).toEqual([])
    expect((await log.getAt(visits, 'a', { version: version(2) }))?.value.n).toBe(2)
  })

  it('goes in one batch with collections that keep state', async () => {
    await using log = await openLog(visits, things)
    const requests = Array.from({ length: 40 }, (_, n) => (n % 2 ? visits : things).put({ id: 'a', n }))
    await log.append(requests, { idempotencyKey: 'once' })
    expect(await log.append(requests, { idempotencyKey: 'once' })).toMatchObject([
      { duplicate: true, version: '1' },
      { duplicate: true, version: '2' },
      ...Array.from({ length: 38 }, () => ({ duplicate: true })),
    ])
    expect(await log.get(things, 'a')).toMatchObject({ version: '20', value: { n: 38 } })
    expect(await all(log.history(visits, 'a'))).toHaveLength(20)
  })

  it('refuses what needs state', async () => {
    await using log = await openLog(visits)
    const refused = { code: 'STATE_REQUIRED' }
    await expect(log.get(visits, 'a')).rejects.toMatchObject(refused)
    await expect(log.append(visits.delete('a'))).rejects.toMatchObject(refused)
    await expect(log.append(visits.patch('a', { n: 1 }))).rejects.toMatchObject(refused)
    await expect(log.append(visits.put({ id: 'a', n: 1 }), { expected: 'absent' })).rejects.toMatchObject(
      refused,
    )
  })

  it('gives sinks each of its events, also those that keep the latest of each key', async () => {
    await using log = await openLog(visits)
    await log.append(Array.from({ length: 30 }, (_, n) => visits.put({ id: `v${n % 3}`, n })))
    const every = eventSink(visits)
    const latest = memorySink({ collection: visits })
    await using worker = await startWorker(log, { groups: { every, latest } })
    await eventually(() => {
      const taken = every.taken as readonly Change<{ n: number }>[]
      expect(taken.map(({ value }) => value?.n).toSorted((a, b) => a! - b!)).toEqual(
        Array.from({ length: 30 }, (_, n) => n),
      )
      expect([...latest.entries().values()].map(({ n }) => n)).toEqual([27, 28, 29])
    })
    expect(worker.name).toBeTruthy()
  })
})
