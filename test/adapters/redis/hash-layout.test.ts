import { changeBuilder } from '@headwater/conformance'
import { canonicalJson, defineCollection, type SinkPartition } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { client, startOwnRedis } from '../../support/own-redis.ts'
import { readHash } from '../../support/read-hash.ts'
import { apply, words } from './replica.ts'

/** Any JSON, also what is no object. */
const anything = defineCollection('anything', { schema: z.json(), key: () => 'thing' })
type Anything = z.core.util.JSONType

let partition: SinkPartition

const log = changeBuilder<Anything>({ collection: anything })
const sink = () => redisSink({ client, collection: anything, key: '{key}', value: 'hash' })

startOwnRedis()

beforeAll(async () => {
  const fence = { epoch: 1, token: 1, owner: 'a worker' }
  partition = await sink().open({ lineage: 'log-1', group: 'copy', partition: 0, fence })
})

async function stored(value: Anything): Promise<Record<string, string>> {
  expect(words(await apply(partition, [log.put(value)]))).toEqual(['applied'])
  return client.hgetall('thing')
}

async function readBack(): Promise<string> {
  const [row] = (await sink().read?.(['thing'])) ?? []
  return canonicalJson(row?.value)
}

describe('a value as a hash', () => {
  it('shows texts as they are and everything else as JSON', async () => {
    expect(
      await stored({ name: 'Lamp', priceCents: 900, tags: ['a', 'b'], sold: false, since: null }),
    ).toEqual({
      name: 'Lamp',
      priceCents: '900',
      tags: '["a","b"]',
      sold: 'false',
      since: 'null',
    })
  })

  it.each([
    '',
    '10 Downing Street',
    'true story',
    'nullable',
    '{not json',
    '"half',
    '-',
    '01',
    '1e',
    '.5',
    '\u00a01',
  ])('leaves a text as it is that is no JSON: %j', async (text) => {
    expect(await stored({ text })).toEqual({ text })
    expect(await readBack()).toBe(canonicalJson({ text }))
  })

  it.each(['5', ' -0.5e3\n', 'true', ' null', '{}', '["a"]', '"quoted"', '1e999'])(
    'quotes a text that could be read as JSON: %j',
    async (text) => {
      expect(await stored({ text })).toEqual({ text: JSON.stringify(text) })
      expect(await readBack()).toBe(canonicalJson({ text }))
    },
  )

  it('replaces all fields with the next value', async () => {
    await stored({ name: 'Lamp', discontinued: true })
    expect(await stored({ name: 'Lamp' })).toEqual({ name: 'Lamp' })
  })

  it('holds the empty object and the property without a name', async () => {
    const values: Anything[] = [{}, { '': '' }, { '': 'a' }, { '': 5 }, { '': {} }]
    for (const value of values) {
      await stored(value)
      expect(await readBack()).toBe(canonicalJson(value))
    }
  })

  it('holds a property named __proto__, and leaves prototypes alone', async () => {
    const value = JSON.parse('{"__proto__":{"admin":true},"constructor":"c"}') as Anything
    await stored(value)
    const [row] = (await sink().read?.(['thing'])) ?? []
    expect(canonicalJson(row?.value)).toBe(canonicalJson(value))
    expect(Object.getPrototypeOf(row?.value)).toBe(Object.prototype)
    expect(row?.value).not.toHaveProperty('admin')
  })

  it('holds more fields than one call of Lua can unpack', async () => {
    const value = Object.fromEntries(Array.from({ length: 20_001 }, (_, index) => [`field ${index}`, index]))
    expect(Object.keys(await stored(value))).toHaveLength(20_001)
    expect(await readBack()).toBe(canonicalJson(value))
  })

  it.each([['text'], [5], [true], [null], [[1]]])('is rejected when it is no object: %j', async (value) => {
    expect(words(await apply(partition, [log.put(value)]))).toEqual(['reject SINK_REJECTED'])
  })

  it('is read back, by us and by the documented rule, as what was applied', async () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 12 }),
      fc.json({ maxDepth: 2 }),
      fc
        .tuple(fc.constantFrom(' ', '\n', '\t', '', '\u00a0', '\ufeff'), fc.json({ maxDepth: 0 }))
        .map((parts) => parts.join('')),
      fc.constantFrom('true', 'nul', '-', '"', '{', '[', '0', '-0', '1.', '.5', '0x1', 'NaN'),
    )
    const member = fc.oneof(text, fc.jsonValue({ stringUnit: 'binary', maxDepth: 2 }))
    const values = fc.dictionary(fc.oneof(text, fc.constant('__proto__')), member, { maxKeys: 6 })
    await fc.assert(
      fc.asyncProperty(values as fc.Arbitrary<Anything & object>, async (value) => {
        await stored(value)
        expect(await readBack()).toBe(canonicalJson(value))
        expect(canonicalJson(await readHash(client, 'thing'))).toBe(canonicalJson(value))
      }),
      { numRuns: 300 },
    )
  })
})
