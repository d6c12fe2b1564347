import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import { connect, defineCollection, isHeadwaterError, type AppendOptions, type Log } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'

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
    ['a key of half a gigabyte', () => log.append(put('k'.repeat(2 ** 29 - 24)))],
    ['a key with half a surrogate pair', () => log.append(put('\ud800'))],
    ['a key with the other half', () => log.append(put('a\udc00'))],
    ['a key with both halves the wrong way round', () => log.append(put('\udc00\ud800'))],
    ['a key that is no text', () => log.append(put(7))],
    ['a key that is a symbol', () => log.append(put(Symbol('a')))],
    ['a key that is bytes', () => log.append(put(Buffer.from('a')))],
    ['a key that is a list', () => log.append(put(['a']))],
    ['a key that is a wrapped text', () => log.append(put(Object('a')))],
    ['a key that would give a text', () => log.append(put({ toString: () => 'a' }))],
    ['no value', () => log.append(notes.put(undefined as never))],
    ['null', () => log.append(notes.put(null as never))],
    ['a date', () => log.append(put('a', new Date(0)))],
    ['a date that is none', () => log.append(put('a', new Date(Number.NaN)))],
    ['a map', () => log.append(put('a', new Map([[1, 2]])))],
    ['a set', () => log.append(put('a', new Set([1])))],
    ['a regular expression', () => log.append(put('a', /x/))],
    ['bytes', () => log.append(put('a', Buffer.from('x')))],
    ['a typed array', () => log.append(put('a', new Float64Array(2)))],
    ['a symbol', () => log.append(put('a', Symbol('x')))],
    ['an error', () => log.append(put('a', new Error('x')))],
    ['an object of a class', () => log.append(put('a', new URL('http://x')))],
    ['an object with a text of its own for JSON', () => log.append(put('a', { toJSON: () => 'x' }))],
    ['infinity below zero', () => log.append(put('a', Number.NEGATIVE_INFINITY))],
    // oxlint-disable-next-line no-sparse-arrays -- that is the point
    ['a list with holes', () => log.append(put('a', [1, , 2]))],
    [
      'a million properties',
      () => log.append(put('a', Object.fromEntries(Array.from({ length: 1e6 }, (_, at) => [`k${at}`, 1])))),
    ],
    [
      'ten million items',
      () =>
        log.append(
          put(
            'a',
            Array.from({ length: 1e7 }, () => 0),
          ),
        ),
    ],
    ['more changes than a list may have', () => log.append(Array.from({ length: 1_001 }, () => put('a')))],
    ['options of null', () => log.append(put('a'), null as never)],
    ['options that are a text', () => log.append(put('a'), 'options' as never)],
    ['an option that is misspelt', () => log.append(put('a'), { expect: 'absent' } as never)],
    [
      'an option that is misspelt, with a list',
      () => log.append([put('a')], { idempotencykey: 'x' } as never),
    ],
    ['a durability that is none', () => log.append(put('a'), { durability: '__proto__' as never })],
    ['metadata of null', () => log.append(put('a'), { metadata: null as never })],
    ['metadata that is a list', () => log.append(put('a'), { metadata: [] as never })],
    ['metadata that is no text', () => log.append(put('a'), { metadata: { a: 7 as never } })],
    ['metadata with half a surrogate pair', () => log.append(put('a'), { metadata: { a: '\ud800' } })],
    [
      'ten thousand metadata',
      () =>
        log.append(put('a'), {
          metadata: Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`k${at}`, 'x'])),
        }),
    ],
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

  it.each(
    [
      -1,
      0,
      1.5,
      2 ** 53,
      Number.NaN,
      1n,
      '01',
      '-1',
      '1e3',
      '٣',
      'any ',
      '9007199254740993',
      '9223372036854775808',
      null,
      true,
      {},
    ].map((x) => [x]),
  )('expected version %s', async (expected) => {
    expect(await refusalOf(() => log.append(put('a'), { expected } as unknown as AppendOptions))).toEqual(
      clean,
    )
  })

  it.each(['', 'x'.repeat(10_240), 7 as never].map((key) => [key]))(
    'idempotency key %#',
    async (idempotencyKey) => {
      expect(await refusalOf(() => log.append(put('a'), { idempotencyKey }))).toEqual(clean)
    },
  )
})

describe('a value that is not what it seems', () => {
  it('gives what its own getter throws back to the caller, and leaves nothing behind', async () => {
    const before = await admin.call('DEBUG', 'DIGEST')
    const trap = new Error('trap')
    const content = {
      get x(): never {
        throw trap
      },
    }
    await expect(log.append(put('a', content))).rejects.toBe(trap)
    const proxy = new Proxy(
      {},
      {
        ownKeys() {
          throw trap
        },
      },
    )
    await expect(log.append(put('a', proxy))).rejects.toBe(trap)
    expect(await admin.call('DEBUG', 'DIGEST')).toBe(before)
  })

  it('is stored as it was when it was handed in, and as it was read first', async () => {
    const note = { id: 'mutable', content: { a: 1 } }
    const appending = log.append(put(note.id, note.content))
    note.content.a = 2
    await appending
    let reads = 0
    const fickle = {
      get x() {
        return ++reads
      },
    }
    await log.append(put('fickle', fickle))
    expect(await log.get(notes, 'mutable')).toMatchObject({ value: { content: { a: 1 } } })
    expect(await log.get(notes, 'fickle')).toMatchObject({ value: { content: { x: 1 } } })
  })
})

it('a list that contradicts itself stores nothing of itself', async () => {
  const list = [put('first'), put('twice'), put('twice')]
  await expect(log.append(list.slice(1), { expected: 'absent' })).rejects.toMatchObject({
    code: 'VERSION_CONFLICT',
  })
  await expect(log.append(list, { expected: ['absent', 'exists', 'absent'] })).rejects.toMatchObject({
    code: 'VERSION_CONFLICT',
  })
  expect([await log.get(notes, 'first'), await log.get(notes, 'twice')]).toEqual([undefined, undefined])
})

describe('an append at the wrong time', () => {
  it('is refused while the log closes and afterwards, and closing twice is closing once', async () => {
    const own = await connect(server.options, { namespace: randomUUID(), collections: [notes] })
    const last = own.append(put('last'))
    const closing = Promise.all([own.close(), own.close()])
    await expect(own.append(put('late'))).rejects.toMatchObject({ code: 'CLOSED' })
    await closing
    expect(await last).toMatchObject({ version: '1' })
    await expect(own.append(put('later'))).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(own.get(notes, 'last')).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('and a hundred thousand at once are each stored', async () => {
    const results = await Promise.all(
      Array.from({ length: 100_000 }, (_, at) => log.append(put(`many-${at}`))),
    )
    expect(new Set(results.map(({ position }) => position)).size).toBe(100_000)
  })
})

describe('a collection whose name is none is refused:', () => {
  it.each(
    [
      '',
      ':',
      '/',
      '..',
      '%2e',
      '{a}',
      'a\n',
      '__proto__',
      'A',
      'é',
      '"; drop table x--',
      'x'.repeat(49),
      'x'.repeat(1e6),
      7,
      null,
    ].map((name) => [name]),
  )('%j', (name) => {
    const define = () =>
      defineCollection(name as string, { schema: z.object({ id: z.string() }), key: ({ id }) => id })
    expect(define).toThrow(
      expect.objectContaining({
        code: 'COLLECTION_INVALID',
        message: expect.stringMatching(/^.{1,500}$/s) as string,
      }),
    )
  })
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
    'k',
    ' ',
    '\t',
    'prototype',
    'toString',
    '\u00e9',
    'e\u0301',
    '\u200d',
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

  it.each([[-0], [2 ** 53], [2 ** 53 + 2], [-(2 ** 53) - 2], [1e21], [1e308], [5e-324], [0.1 + 0.2]])(
    'the number %s',
    async (number) => {
      await log.append(put('number', number))
      // JSON has one zero.
      expect(await log.get(notes, 'number')).toMatchObject({ value: { content: number === 0 ? 0 : number } })
    },
  )

  it('metadata with any names', async () => {
    const metadata = JSON.parse('{"__proto__":"x","constructor":"y","":"z","a\\nb":"c\\nd"}') as Record<
      string,
      string
    >
    const { position } = await log.append(put('told'), { metadata })
    const past: unknown[] = []
    for await (const change of log.history(notes, 'told')) past.push(change)
    expect(past).toMatchObject([{ position }])
    expect((past[0] as { metadata: object }).metadata).toEqual(metadata)
  })

  it('a list with properties of its own, and what is hidden in an object: without them', async () => {
    const loose = defineCollection('loose', { schema: z.any(), key: ({ id }: { id: string }) => id })
    await using own = await connect(server.options, { namespace: randomUUID(), collections: [loose] })
    const value = { id: 'a', list: Object.assign([1], { x: 2 }), [Symbol('x')]: 3 }
    await own.append(loose.put(Object.defineProperty(value, 'hidden', { value: 4 })))
    expect(await own.get(loose, 'a')).toMatchObject({ value: { id: 'a', list: [1] } })
    expect(Object.keys((await own.get(loose, 'a'))!.value as object)).toEqual(['id', 'list'])
  })

  it.each(['\0', '\u2028', '\ufeff', '</script>', '\u202e', '\ud83d\ude00', 'x'.repeat(1_000_000)])(
    'the text %#',
    async (content) => {
      await log.append(put('text', content))
      expect(await log.get(notes, 'text')).toMatchObject({ value: { content } })
    },
  )

  it('frozen objects, and ones without a prototype', async () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1 })
    await log.append(put('bare', Object.freeze(bare)))
    expect(await log.get(notes, 'bare')).toMatchObject({ value: { content: { a: 1 } } })
  })
})
