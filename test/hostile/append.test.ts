import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import { connect, isHeadwaterError, type AppendOptions, type Log } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

let server: OwnRedisServer
let admin: Redis
let log: Log

beforeAll(async () => {
  server = await startRedis({ own: true })
  admin = new Redis(server.options)
  log = await connect(server.options, { namespace: randomUUID(), collections: [notes] })
})

afterAll(async () => {
  await log.close()
  admin.disconnect()
  await server.stop()
})

const put = (id: unknown, content: unknown = 1) => notes.put({ id, content } as never)
const cyclic: Record<string, unknown> = {}
cyclic['self'] = cyclic
const deep = (levels: number): unknown => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`) as unknown

/** What came of an append that must not succeed. */
async function refusalOf(append: () => unknown) {
  const before = await admin.call('DEBUG', 'DIGEST')
  const refused = await (async () => await append())().catch((error: unknown) => error)
  const after = await admin.call('DEBUG', 'DIGEST')
  return {
    isOurs: isHeadwaterError(refused),
    isShort: refused instanceof Error && refused.message.length < 1_024,
    leavesNothing: before === after,
  }
}

const clean = { isOurs: true, isShort: true, leavesNothing: true }

describe('an append of what cannot be stored is refused, and leaves nothing behind:', () => {
  it.each<[string, () => unknown]>([
    ['an empty key', () => log.append(put(''))],
    ['a key of 64 kB', () => log.append(put('k'.repeat(65_536)))],
    ['a key with half a surrogate pair', () => log.append(put('\ud800'))],
    ['a key that is no text', () => log.append(put(7))],
    ['a value with a function', () => log.append(put('a', () => 1))],
    ['a value that refers to itself', () => log.append(put('a', cyclic))],
    ['a big integer', () => log.append(put('a', 1n))],
    ['not a number', () => log.append(put('a', Number.NaN))],
    ['infinity', () => log.append(put('a', Number.POSITIVE_INFINITY))],
    ['no content', () => log.append(notes.put({ id: 'a' } as never))],
    ['a text with half a surrogate pair', () => log.append(put('a', 'x\udfff'))],
    ['a value of 16 MB', () => log.append(put('a', 'x'.repeat(16_777_216)))],
    ['a value 100,000 levels deep', () => log.append(put('a', deep(100_000)))],
    ['no request', () => log.append(undefined as never)],
    ['a request of another shape', () => log.append({ kind: 'drop' } as never)],
    ['an empty list', () => log.append([])],
    ['a bad one in the middle of a list', () => log.append([put('a'), put(''), put('a')])],
  ])('%s', async (_, append) => {
    expect(await refusalOf(append)).toEqual(clean)
  })

  it.each([-1, 0, 1.5, '01', '-1', '1e3', '٣', 'any ', '9007199254740993', null, true, {}].map((x) => [x]))(
    'expected version %j',
    async (expected) => {
      expect(await refusalOf(() => log.append(put('a'), { expected } as unknown as AppendOptions))).toEqual(
        clean,
      )
    },
  )

  it.each(['', 'x'.repeat(10_240), 7 as never].map((key) => [key]))(
    'idempotency key %#',
    async (idempotencyKey) => {
      expect(await refusalOf(() => log.append(put('a'), { idempotencyKey }))).toEqual(clean)
    },
  )
})

describe('an append of what looks dangerous is stored as it is:', () => {
  it.each([
    '__proto__',
    'constructor',
    'hasOwnProperty',
    '{a}{b}',
    '}{',
    'a\0b',
    'a\r\nb',
    '\\n',
    '*?[]',
    'headwater:{x:0}:log',
    '\u202eabc',
    '\ufeffa',
    "'; DROP TABLE x; --",
  ])('key %j', async (key) => {
    await log.append(put(key, { of: key }))
    expect(await log.get(notes, key)).toMatchObject({ value: { id: key, content: { of: key } } })
  })

  it('a property called __proto__, without touching any prototype', async () => {
    const content = JSON.parse(
      '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}',
    ) as object
    await log.append(put('own', content)).catch(() => {})
    await log.get(notes, 'own')
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
  })

  it('a value 400 levels deep', async () => {
    await log.append(put('deep', deep(400)))
    expect(await log.get(notes, 'deep')).toMatchObject({ value: { content: deep(400) } })
  })

  it('frozen objects, and ones without a prototype', async () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1 })
    await log.append(put('bare', Object.freeze(bare)))
    expect(await log.get(notes, 'bare')).toMatchObject({ value: { content: { a: 1 } } })
  })
})
