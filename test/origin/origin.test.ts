import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { connect, defineCollection, isHeadwaterError, type Log } from '@headwater/core'
import { startProxy } from '@headwater/local-servers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { Random } from '../support/random.ts'
import { rawChanges, rawEntryCount } from '../support/raw-log.ts'
import { givenSeed } from '../support/seed.ts'

const users = defineCollection('users', {
  schema: z.object({ id: z.string(), age: z.int() }),
  key: ({ id }) => id,
})

const user = (age: number, id = 'ada') => ({ collection: users, key: id, value: { id, age } })
const gone = (id: string) => ({ collection: users, key: id, value: undefined })
const fed = { collections: [users] }

let namespace: string
let log: Log
let other: Log

startOwnRedis()

beforeEach(async () => {
  namespace = randomUUID()
  log = await connect(server.options, { namespace, ...fed, partitions: 2 })
  other = await connect(server.options, { namespace, ...fed })
})
afterEach(async () => {
  await Promise.all([log.close(), other.close()])
})

const ages = async () =>
  (await Promise.all([0, 1].map((partition) => rawChanges(client, namespace, partition))))
    .flat()
    .map(({ kind, payload }) => (kind === 'delete' ? kind : (JSON.parse(payload) as { age: number }).age))

describe('an origin', () => {
  it('appends a value once, however often it brings it, and a delete of what is there', async () => {
    const origin = await log.origin('legacy', fed)
    const outcomes = []
    for (const [position, request] of [user(1), user(1), user(2), gone('ada')].entries())
      outcomes.push(...(await origin.append([request, gone('nobody')], position)))
    const kinds = [
      'appended',
      'unchanged',
      'unchanged',
      'unchanged',
      'appended',
      'unchanged',
      'appended',
      'unchanged',
    ]
    expect(outcomes.map(({ kind }) => kind)).toEqual(kinds)
    expect(await ages()).toEqual([1, 2, 'delete'])
  })

  it('is told with each change', async () => {
    const origin = await log.origin('legacy', fed)
    await origin.append([user(1)], 7, { position: 'abc:7' })
    const changes = (await Promise.all([0, 1].map((p) => rawChanges(client, namespace, p)))).flat()
    expect(changes.map(({ metadata }) => metadata)).toEqual([{ origin: 'legacy', position: 'abc:7' }])
  })

  it('has what is wrong with one change keep out that change alone', async () => {
    const origin = await log.origin('legacy', fed)
    const values = [user(0.5), { ...user(1), key: 'eve' }, user(2, 'bob')]
    expect(await origin.append(values, 1)).toEqual([
      { kind: 'rejected', error: expect.objectContaining({ code: 'VALUE_INVALID' }) as Error },
      { kind: 'rejected', error: expect.objectContaining({ code: 'KEY_INVALID' }) as Error },
      expect.objectContaining({ kind: 'appended' }),
    ])
  })

  it('lists what the log has as present', async () => {
    const origin = await log.origin('legacy', fed)
    const ids = Array.from({ length: 50 }, (_, index) => `user ${index}`)
    await origin.append(
      ids.map((id) => user(1, id)),
      1,
    )
    await origin.append([gone('user 7')], 2)
    const found = new Set<string>()
    for await (const page of origin.keys(users)) for (const key of page) found.add(key)
    expect([...found].toSorted()).toEqual(ids.filter((id) => id !== 'user 7').toSorted())
  })

  it('is refused for a collection that another origin feeds, and for one without state', async () => {
    await log.origin('legacy', fed)
    await expect(other.origin('second', fed)).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    await expect(other.origin('no name', fed)).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    const events = defineCollection('events', {
      schema: z.object({ id: z.string() }),
      key: ({ id }) => id,
      state: 'none',
    })
    await using third = await connect(server.options, { namespace, collections: [events] })
    await expect(third.origin('events', { collections: [events] })).rejects.toMatchObject({
      code: 'STATE_REQUIRED',
    })
  })
})

describe('an origin that was taken over', () => {
  it('brings nothing into the log any more, saves nothing, and cannot be renewed', async () => {
    const zombie = await log.origin('legacy', fed)
    expect(await zombie.save('at 5')).toBe('saved')
    const owner = await other.origin('legacy', fed)
    expect(owner.progress).toBe('at 5')
    await owner.append([user(2)], 0)
    const fenced = { code: 'ORIGIN_FENCED', retryable: false }
    await expect(zombie.append([user(1)], 1_000_000)).rejects.toMatchObject(fenced)
    await expect(zombie.append([user(1, 'never seen')], 1_000_000)).rejects.toMatchObject(fenced)
    await expect(zombie.save('at 6')).rejects.toMatchObject(fenced)
    await expect(zombie.renew()).rejects.toMatchObject(fenced)
    await owner.save('at 7')
    expect(await ages()).toEqual([2])
  })

  it('brings nothing into partitions that its heir has not written to', async () => {
    const zombie = await log.origin('legacy', fed)
    await other.origin('legacy', fed)
    for (let index = 0; index < 10; index++)
      await expect(zombie.append([user(1, `user ${index}`)], index)).rejects.toMatchObject({
        code: 'ORIGIN_FENCED',
      })
    expect(await ages()).toEqual([])
  })

  it('has no way in either where a restored copy has forgotten who took it last', async () => {
    const zombie = await log.origin('legacy', fed)
    await client.del(`headwater:{${namespace}}:origins`)
    const owner = await other.origin('legacy', fed)
    await owner.append([user(2)], 1)
    await expect(zombie.append([user(1)], 9)).rejects.toMatchObject({ code: 'ORIGIN_FENCED' })
    expect(await ages()).toEqual([2])
  })
})

describe('a position of an origin', () => {
  it('never goes back, until the origin is renewed', async () => {
    const origin = await log.origin('legacy', fed)
    await origin.append([user(1)], 10)
    await origin.append([user(2)], 10)
    await expect(origin.append([user(3)], 9)).rejects.toMatchObject({ code: 'ORIGIN_FENCED' })
    await origin.renew()
    await origin.append([user(4)], 0)
    expect(await ages()).toEqual([1, 2, 4])
  })
})

it('is renewed by whoever has it also after the answer to a renewal was lost', async () => {
  await using proxy = await startProxy(server.options)
  await using far = await connect(proxy.address, { namespace, ...fed, deadlineMs: 300 })
  const origin = await far.origin('legacy', fed)
  await origin.append([user(1)], 5)
  const lost = proxy.loseReply('EVALSHA').then(() => proxy.refuse())
  await expect(origin.renew()).rejects.toMatchObject({ retryable: true })
  await lost
  await proxy.accept()
  await eventually(() => origin.renew())
  await origin.append([user(2)], 0)
  expect(await ages()).toEqual([1, 2])
})

it('never puts an older value over a newer one, whoever reads the source and however late he appends', async () => {
  const random = new Random(givenSeed ?? 1)
  // The source: a value that only rises.
  const source = { value: 0 }
  const last = 600
  const capture = async (by: Log) => {
    while (source.value < last) {
      try {
        const origin = await by.origin('legacy', fed)
        for (let position = 0; source.value < last; position++) {
          const read = ++source.value
          // Somewhere between the read and the append it may be taken over.
          if (random.chance(0.2)) await pause(random.below(5))
          await origin.append([user(read)], position)
        }
      } catch (error) {
        if (!isHeadwaterError(error, 'ORIGIN_FENCED')) throw error
      }
      if (random.chance(0.5)) await pause(random.below(20))
    }
  }
  await Promise.all([capture(log), capture(other), capture(log)])
  const seen = (await ages()) as number[]
  expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  expect(seen.length).toBeGreaterThan(50)
})

it('costs an append without an origin nothing: its script is another one', async () => {
  await log.append(users.put({ id: 'ada', age: 1 }))
  const entries = await Promise.all([0, 1].map((partition) => rawEntryCount(client, namespace, partition)))
  expect(entries[0]! + entries[1]!).toBe(1)
  expect(await client.exists(`headwater:{${namespace}:0}:origins`)).toBe(0)
})
