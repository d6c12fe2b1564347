import { randomUUID } from 'node:crypto'
import {
  connect,
  defineCollection,
  defineDecider,
  memorySink,
  startWorker,
  verify,
  type AnyCollection,
  type Collection,
  type Log,
  type Sink,
  type WorkerEvent,
} from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { rawState } from '../support/raw-log.ts'
import { Redis } from 'ioredis'
import { eventually } from '../support/eventually.ts'
import { eventSink } from '../support/event-sink.ts'

interface OldPerson {
  id: string
  name: string
}
interface Person {
  id: string
  first: string
  last: string
}

const key = ({ id }: { id: string }): string => id
const oldPeople = defineCollection('people', {
  schema: z.object({ id: z.string(), name: z.string() }),
  key,
})
const people: Collection<Person> = defineCollection('people', {
  schema: z.object({ id: z.string(), first: z.string(), last: z.string() }),
  key,
  schemaVersion: 3,
  upcast: {
    // Version 2 renamed nothing that would need a step.
    1: ({ id, name }: OldPerson) => ({ id, full: name.trim() }),
    2: ({ id, full, first, last }: { id: string; full?: string; first?: string; last?: string }) => ({
      id,
      first: first ?? full!.split(' ')[0]!,
      last: last ?? full!.split(' ')[1]!,
    }),
  },
})

let server: RedisServer
beforeAll(async () => (server = await startRedis()))
afterAll(() => server.stop())

const open = (namespace: string, ...collections: AnyCollection[]): Promise<Log> =>
  connect(server.options, { namespace, collections, partitions: 2 })
const newName = (): string => `${server.namespacePrefix}${randomUUID()}`
const ada = { id: 'ada', first: 'Ada', last: 'Lovelace' }

/** A namespace with one person whom the old program stored. */
async function storedByTheOldProgram(): Promise<string> {
  const namespace = newName()
  await using log = await open(namespace, oldPeople)
  await log.append(oldPeople.put({ id: 'ada', name: ' Ada Lovelace ' }))
  return namespace
}

describe('a value that was stored under an older schema version', () => {
  it('is read in the shape of the present one: as state, as change, from a feed and at a sink', async () => {
    await using log = await open(await storedByTheOldProgram(), people)
    expect((await log.get(people, 'ada'))?.value).toEqual(ada)

    const read: unknown[] = []
    for (let partition = 0; partition < log.partitions; partition++) {
      for await (const { value, schemaVersion } of log.read(partition)) read.push([value, schemaVersion])
    }
    expect(read).toEqual([[ada, 1]])

    for (const from of ['snapshot', 'beginning'] as const) {
      for await (const change of log.feed(people, { from })) {
        expect(change.value).toEqual(ada)
        break
      }
    }

    const copy = memorySink({ collection: people })
    const events = eventSink(people)
    await using worker = await startWorker(log, { groups: { copy, events } })
    await eventually(() => {
      expect(copy.entries().get('ada')).toEqual(ada)
      expect(events.taken.map(({ value, payload }) => [value, JSON.parse(payload) as unknown])).toEqual([
        [ada, ada],
      ])
    })
    expect(worker.name).toBeTruthy()
  })

  it('keeps the hash of what is stored, so that copies made before and after agree with the log', async () => {
    const namespace = await storedByTheOldProgram()
    const client = new Redis(server.options)
    const state = async (): Promise<unknown> => [
      await rawState(client, namespace, 0, 'people'),
      await rawState(client, namespace, 1, 'people'),
    ]
    try {
      const before = await state()
      await using log = await open(namespace, people)
      const copy = memorySink({ collection: people })
      await using worker = await startWorker(log, { groups: { copy } })
      await eventually(() => expect(copy.entries().size).toBe(1))
      expect(await verify(log, copy, { deep: true })).toMatchObject({ equal: true, checked: 1 })
      expect(worker.name).toBeTruthy()
      expect(await state()).toEqual(before)
    } finally {
      client.disconnect()
    }
  })

  it('is looked at by a deep verify, whether the old program has copied it or the new one', async () => {
    const namespace = await storedByTheOldProgram()
    for (const [group, program] of Object.entries({ old: oldPeople, new: people })) {
      const collection: AnyCollection = program
      const { target } = memorySink({ collection })
      const taker = memorySink({ collection, target })
      await using log = await open(namespace, collection)
      await using worker = await startWorker(log, { groups: { [group]: taker } })
      await eventually(() => expect(taker.entries().size).toBe(1))
      expect(worker.name).toBeTruthy()

      await using present = await open(namespace, people)
      const copy = memorySink({ collection: people, target })
      const edited: Sink<Person> = {
        ...copy,
        read: async (keys) =>
          (await copy.read!(keys)).map(
            (row) => row && { ...row, value: { ...(row.value as object), id: 'eve' } },
          ),
      }
      expect(await verify(present, copy, { group, deep: true })).toMatchObject({ equal: true, checked: 1 })
      expect(await verify(present, edited, { group, deep: true })).toMatchObject({ counts: { corrupt: 1 } })
    }
  })

  it('is patched in the present shape, and stored under the present version', async () => {
    await using log = await open(await storedByTheOldProgram(), people)
    await log.append(people.patch('ada', { last: 'King' }))
    const changes: unknown[] = []
    for (let partition = 0; partition < log.partitions; partition++) {
      for await (const { payload, schemaVersion } of log.read(partition)) {
        changes.push([schemaVersion, JSON.parse(payload)])
      }
    }
    expect(changes).toEqual([
      [1, { id: 'ada', name: ' Ada Lovelace ' }],
      [3, { ...ada, last: 'King' }],
    ])
    expect((await log.get(people, 'ada'))?.value).toEqual({ ...ada, last: 'King' })
  })

  it('parks its key where the upcaster fails, and no other', async () => {
    const namespace = await storedByTheOldProgram()
    const broken = defineCollection('people', {
      schema: z.object({ id: z.string(), first: z.string(), last: z.string() }),
      key,
      schemaVersion: 2,
      upcast: {
        1: () => {
          throw new Error('no idea')
        },
      },
    })
    await using log = await open(namespace, broken)
    await expect(log.get(broken, 'ada')).rejects.toMatchObject({ code: 'UPCAST_FAILED' })
    await log.append(broken.put({ id: 'bob', first: 'Bob', last: 'B' }))
    const events: WorkerEvent[] = []
    const copy = memorySink({ collection: broken })
    await using worker = await startWorker(log, {
      groups: { copy },
      onEvent: (event) => events.push(event),
    })
    await eventually(() => {
      expect([...copy.entries().keys()]).toEqual(['bob'])
      expect(events).toContainEqual(expect.objectContaining({ kind: 'parked', key: 'ada' }))
    })
    expect(worker.name).toBeTruthy()
  })
})

it('events and folded states of a decider have upcasters of their own', async () => {
  const namespace = newName()
  const before = defineDecider('counters', {
    events: { added: z.object({ n: z.number() }) },
    initial: () => 0,
    decide: (n: number) => [{ type: 'added', data: { n } }],
    evolve: (sum: number, { data }) => sum + data.n,
  })
  const now = defineDecider('counters', {
    events: { added: z.object({ amount: z.number() }) },
    initial: () => ({ sum: 0 }),
    decide: (amount: number) => [{ type: 'added', data: { amount } }],
    evolve: ({ sum }: { sum: number }, { data }) => ({ sum: sum + data.amount }),
    schemaVersion: 2,
    upcast: { 1: ({ data }: { data: { n: number } }) => ({ type: 'added', data: { amount: data.n } }) },
    upcastState: { 1: (sum: number) => ({ sum }) },
  })
  await using first = await open(namespace, before)
  await first.decide(before, 'a', 5)
  await using second = await open(namespace, now)
  expect((await second.get(now, 'a'))?.value).toEqual({ sum: 5 })
  expect((await second.decide(now, 'a', 2)).state).toEqual({ sum: 7 })
  const states = memorySink({ collection: now })
  const events = eventSink(now)
  await using worker = await startWorker(second, { groups: { states, events } })
  await eventually(() => {
    expect(states.entries()).toEqual(new Map([['a', { sum: 7 }]]))
    expect(events.taken.map(({ value }) => value)).toEqual([
      { type: 'added', data: { amount: 5 } },
      { type: 'added', data: { amount: 2 } },
    ])
  })
  expect(worker.name).toBeTruthy()
})

it.each([
  [
    'a step that leads beyond the schema version',
    { schemaVersion: 2, upcast: { 2: (value: unknown) => value } },
  ],
  ['a step that is no function', { schemaVersion: 2, upcast: { 1: 'rename' as never } }],
])('refuses %s', (_, options) => {
  const define = (): AnyCollection =>
    defineCollection('people', { schema: z.object({ id: z.string() }), key, ...options })
  expect(define).toThrow(expect.objectContaining({ code: 'COLLECTION_INVALID' }))
})
