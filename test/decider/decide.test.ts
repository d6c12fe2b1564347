import { randomUUID } from 'node:crypto'
import {
  connect,
  defineCollection,
  memorySink,
  startWorker,
  verify,
  VersionConflictError,
  type Change,
  type Log,
} from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventSink } from '../support/event-sink.ts'
import { eventually } from '../support/eventually.ts'
import { counters } from './counter.ts'

let server: RedisServer
beforeAll(async () => (server = await startRedis()))
afterAll(() => server.stop())

const openLog = (namespace = `${server.namespacePrefix}${randomUUID()}`): Promise<Log> =>
  connect(server.options, { namespace, collections: [counters], partitions: 2 })

async function changesOf(log: Log): Promise<Change[]> {
  const changes: Change[] = []
  for (let partition = 0; partition < log.partitions; partition++) {
    for await (const change of log.read(partition)) changes.push(change)
  }
  return changes
}

describe('a command', () => {
  it('appends what was decided, and keeps the folded state beside the log', async () => {
    await using log = await openLog()
    const decision = await log.decide(counters, 'a', { do: 'add', n: 2, times: 3 })
    expect(decision).toMatchObject({
      key: 'a',
      events: Array.from({ length: 3 }, () => ({ type: 'added', data: { n: 2 } })),
      state: { sum: 6, events: 3 },
      version: '3',
      duplicate: false,
    })
    expect(await log.get(counters, 'a')).toMatchObject({
      value: { sum: 6, events: 3 },
      version: '3',
      position: decision.position,
    })
    expect((await changesOf(log)).map(({ kind, value, version }) => [kind, value, version])).toEqual(
      ['1', '2', '3'].map((version) => ['event', { type: 'added', data: { n: 2 } }, version]),
    )
  })

  it('that makes nothing happen leaves nothing behind', async () => {
    await using log = await openLog()
    expect(await log.decide(counters, 'a', { do: 'nothing' })).toEqual({
      key: 'a',
      events: [],
      state: { sum: 0, events: 0 },
      version: undefined,
      position: undefined,
      duplicate: false,
    })
    expect(await changesOf(log)).toEqual([])
  })

  it('that is refused, or decided against the rules, leaves nothing behind', async () => {
    await using log = await openLog()
    await expect(log.decide(counters, 'a', { do: 'refuse' })).rejects.toThrow('not today')
    await expect(log.decide(counters, 'a', { do: 'invent' })).rejects.toMatchObject({ code: 'EVENT_INVALID' })
    await expect(log.decide(counters, 'a', { do: 'add', n: 0.5 })).rejects.toMatchObject({
      code: 'EVENT_INVALID',
    })
    expect(await changesOf(log)).toEqual([])
  })

  it('with an option that there is not is refused', async () => {
    await using log = await openLog()
    const misspelt = { retriesOnConflict: 0 } as object
    await expect(log.decide(counters, 'a', { do: 'add', n: 2 }, misspelt)).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining('"retriesOnConflict"') as string,
    })
    expect(await changesOf(log)).toEqual([])
  })

  it('is decided once under an idempotency key, and answered as before', async () => {
    await using log = await openLog()
    const options = { idempotencyKey: 'click-1' }
    const first = await log.decide(counters, 'a', { do: 'add', n: 2, times: 2 }, options)
    await log.decide(counters, 'a', { do: 'add', n: 5 })
    expect(await log.decide(counters, 'a', { do: 'refuse' }, options)).toEqual({
      ...first,
      state: { sum: 9, events: 3 },
      duplicate: true,
    })
  })

  it('sent twice at the same time under one idempotency key happens once', async () => {
    const namespace = `${server.namespacePrefix}${randomUUID()}`
    await using one = await openLog(namespace)
    await using two = await openLog(namespace)
    const decisions = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (index % 2 ? one : two).decide(counters, 'a', { do: 'add', n: 1 }, { idempotencyKey: 'click' }),
      ),
    )
    expect(new Set(decisions.map(({ position }) => position)).size).toBe(1)
    expect(decisions.filter(({ duplicate }) => !duplicate)).toHaveLength(1)
    expect((await one.get(counters, 'a'))?.value).toEqual({ sum: 1, events: 1 })
  })

  it('is decided again when somebody else was faster, as often as allowed', async () => {
    const namespace = `${server.namespacePrefix}${randomUUID()}`
    await using one = await openLog(namespace)
    await using two = await openLog(namespace)
    const commands = (retryOnConflict?: number): Promise<PromiseSettledResult<unknown>[]> =>
      Promise.allSettled(
        Array.from({ length: 20 }, (_, index) =>
          (index % 2 ? one : two).decide(
            counters,
            'a',
            { do: 'add', n: 1 },
            retryOnConflict === undefined ? {} : { retryOnConflict },
          ),
        ),
      )
    const rejections = (await commands(0)).flatMap((settled) =>
      settled.status === 'rejected' ? [settled.reason as unknown] : [],
    )
    expect(rejections.length).toBeGreaterThan(0)
    for (const reason of rejections) expect(reason).toBeInstanceOf(VersionConflictError)
    const after = 20 - rejections.length
    expect((await commands()).filter(({ status }) => status === 'rejected')).toEqual([])
    expect((await one.get(counters, 'a'))?.value).toEqual({ sum: after + 20, events: after + 20 })
  })

  it('begins anew after a delete, with versions that go on', async () => {
    await using log = await openLog()
    await log.decide(counters, 'a', { do: 'add', n: 2 })
    await log.append(counters.delete('a'))
    expect(await log.get(counters, 'a')).toBeUndefined()
    expect(await log.decide(counters, 'a', { do: 'add', n: 3 })).toMatchObject({
      state: { sum: 3, events: 1 },
      version: '3',
    })
  })
})

describe('the state of a decider', () => {
  it('cannot be put or patched', () => {
    expect(() => counters.put({} as never)).toThrow(expect.objectContaining({ code: 'EVENTS_ONLY' }))
    expect(() => counters.patch('a', {} as never)).toThrow(expect.objectContaining({ code: 'EVENTS_ONLY' }))
  })

  it('reaches sinks that take states, and every event those that take events', async () => {
    await using log = await openLog()
    for (let n = 1; n <= 5; n++) {
      await Promise.all(['a', 'b', 'c'].map((key) => log.decide(counters, key, { do: 'add', n, times: 2 })))
    }
    await log.append(counters.delete('c'))
    const states = memorySink({ collection: counters })
    const events = eventSink(counters)
    await using worker = await startWorker(log, { groups: { states, events } })
    await eventually(() => {
      expect(states.entries()).toEqual(new Map(['a', 'b'].map((key) => [key, { sum: 30, events: 10 }])))
      for (const key of ['a', 'b', 'c']) {
        const taken = events.taken.filter((change) => change.key === key)
        expect(taken.map(({ version }) => Number(version))).toEqual(
          Array.from({ length: key === 'c' ? 11 : 10 }, (_, index) => index + 1),
        )
      }
    })
    const { position } = await log.decide(counters, 'a', { do: 'add', n: 1 })
    expect(await log.whenApplied(position!, { group: 'states' })).toBe('applied')
    expect(await log.whenApplied(position!, { group: 'events' })).toBe('applied')
    expect(await verify(log, states, { deep: true })).toMatchObject({ equal: true, checked: 2 })
    expect(worker.name).toBeTruthy()
  })

  it('stays apart from collections of values of the same name', async () => {
    const namespace = `${server.namespacePrefix}${randomUUID()}`
    await (await openLog(namespace)).close()
    const values = defineCollection('counters', { schema: z.object({ id: z.string() }), key: ({ id }) => id })
    await expect(connect(server.options, { namespace, collections: [values] })).rejects.toMatchObject({
      code: 'NAMESPACE_MISMATCH',
    })
  })
})

it('a partition is as its events say after a crash between any two writes', async () => {
  // One script writes entry, state and digest: what a reader folds from the log is what stands beside it.
  await using log = await openLog()
  const commands = Array.from({ length: 60 }, (_, index) =>
    log.decide(counters, `k${index % 7}`, { do: 'add', n: index, times: 1 + (index % 3) }),
  )
  await Promise.all(commands)
  const folded = new Map<string, { sum: number; events: number }>()
  for (const { key, value } of await changesOf(log)) {
    const state = folded.get(key) ?? counters.decides.initial()
    folded.set(key, counters.decides.evolve(state, value as never))
  }
  for (const [key, state] of folded) expect((await log.get(counters, key))?.value).toEqual(state)
  const client = new Redis(server.options)
  expect(await client.exists(`headwater:{${log.namespace}:0}:digest:counters`)).toBe(1)
  client.disconnect()
})
