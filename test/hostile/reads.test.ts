import { notes } from '@headwater/conformance'
import { connect, fakeLog, isHeadwaterError, type Change, type Log } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestLog } from '../worker/test-log.ts'

let server: OwnRedisServer
let admin: Redis
let log: Log

beforeAll(async () => {
  server = await startRedis({ own: true, port: true })
  admin = new Redis(server.options)
  log = await openTestLog(server.options)
  await log.append(notes.put({ id: 'lamp', content: 1 }))
})

afterAll(async () => {
  await log.close()
  admin.disconnect()
  await server.stop()
})

/** What came of a call that must not succeed. */
async function refusalOf(ask: () => Promise<unknown>) {
  const refused = await ask().catch((error: unknown) => error)
  return {
    isOurs: isHeadwaterError(refused),
    isShort: refused instanceof Error && refused.message.length < 1_024,
  }
}

const firstOf = async (changes: AsyncIterable<Change>): Promise<unknown> => {
  const iterator = changes[Symbol.asyncIterator]()
  return await iterator.next()
}

const refused = { isOurs: true, isShort: true }

describe('a question about the past that is none is refused:', () => {
  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a word', 'yesterday'],
    ['no moment', {}],
    ['a time as text', { time: '2020-01-01' }],
    ['a time of null', { time: null }],
    ['a time that is no number', { time: Number.NaN }],
    ['a time that never is', { time: Infinity }],
    ['a date that is none', { time: new Date('x') }],
    ['a version as a number', { version: 7 }],
    ['a version of a megabyte', { version: '7'.repeat(1e6) }],
    ['a position that is none', { position: '0:1' }],
    ['a position of a megabyte', { position: '7'.repeat(1e6) }],
    ['a position of another partition', { position: '7:1-1' }],
  ])('the value at %s', async (_, moment) => {
    expect(await refusalOf(() => log.getAt(notes, 'lamp', moment as never))).toEqual(refused)
  })

  it.each([[undefined], [null], ['2020'], [Number.NaN], [Infinity], [new Date('x')]])(
    'the position at the time %s',
    async (time) => {
      expect(await refusalOf(() => log.positionAt(0, time as never))).toEqual(refused)
      const fake = await fakeLog({ collections: [notes] })
      expect(await refusalOf(() => fake.positionAt(0, time as never))).toEqual(refused)
    },
  )

  it.each([[-1], [1.5], [Number.NaN], [99], [null], ['__proto__']])('partition %s', async (partition) => {
    const first = async () => await firstOf(log.read(partition as never, 'beginning'))
    expect(await refusalOf(first)).toEqual(refused)
    expect(await refusalOf(() => log.end(partition as never))).toEqual(refused)
    expect(await refusalOf(() => log.positionAt(partition as never, 0))).toEqual(refused)
  })

  it.each([['x'], [5], [null], ['0:1'], ['1:1-1'], ['0:99999999999999999-1'], ['0:1-99999']])(
    'what comes after the position %s',
    async (from) => {
      const first = async () => await firstOf(log.read(0, from as never))
      expect(await refusalOf(first)).toEqual(refused)
    },
  )
})

it('times before everything and after everything are times', async () => {
  expect(await log.getAt(notes, 'lamp', { time: -1 })).toBeUndefined()
  expect(await log.getAt(notes, 'lamp', { time: 1e18 })).toMatchObject({ version: '1' })
})

it('a database that the server does not have is refused, and no other one is taken for it', async () => {
  const before = await admin.call('DEBUG', 'DIGEST')
  for (const target of [`${server.url}/99`, { ...server.options, db: 16 }]) {
    await expect(connect(target, { namespace: 'elsewhere' })).rejects.toMatchObject({
      code: 'REDIS_REFUSED',
      message: expect.stringContaining('the choice of a database: ERR DB index is out of range') as string,
    })
  }
  expect(await admin.call('DEBUG', 'DIGEST')).toBe(before)
  await using there = await connect(`${server.url}/15`, { namespace: 'elsewhere', collections: [notes] })
  await there.append(notes.put({ id: 'lamp', content: 2 }))
  expect(await admin.exists('headwater:{elsewhere}:metadata')).toBe(0)
})
