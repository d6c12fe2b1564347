import { canonicalJson, isHeadwaterError } from '@headwater/core'
import {
  assert as check,
  anything,
  dictionary,
  jsonValue,
  oneof,
  property,
  string,
  type JsonValue,
} from 'fast-check'
import { describe, expect, it } from 'vitest'

/** RFC 8785 as one would write it down: slow, and obviously right. */
function reference(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(reference).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${reference(member as JsonValue)}`).join(',')}}`
}

/** Names that JavaScript treats in ways of its own. */
const names = oneof(
  string({ unit: 'grapheme', maxLength: 4 }),
  string({ unit: 'binary-ascii', maxLength: 2 }),
  string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 1 }),
)
const values = oneof(
  jsonValue({ stringUnit: 'grapheme', depthSize: 'medium' }),
  dictionary(names, jsonValue({ stringUnit: 'grapheme' })),
)

describe('canonical JSON', () => {
  it('writes every JSON value as RFC 8785 does, whatever the order and kind of its properties', () => {
    check(
      property(values, (value) => {
        expect(canonicalJson(value)).toBe(reference(value))
      }),
      { numRuns: 3_000 },
    )
  })

  it('is the same for properties that were set in another order', () => {
    check(
      property(dictionary(names, jsonValue({ stringUnit: 'grapheme' })), (value) => {
        const reversed = Object.fromEntries(Object.entries(value).toReversed())
        expect(canonicalJson(reversed)).toBe(canonicalJson(value))
      }),
      { numRuns: 1_000 },
    )
  })

  it('either refuses a value with a typed error, or gives text that reads back as the same text', () => {
    check(
      property(
        anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withSparseArray: true,
          withTypedArray: true,
          withNullPrototype: true,
        }),
        (value) => {
          let text: string
          try {
            text = canonicalJson(value)
          } catch (error) {
            if (isHeadwaterError(error, 'VALUE_INVALID')) return
            throw error
          }
          expect(canonicalJson(JSON.parse(text))).toBe(text)
        },
      ),
      { numRuns: 3_000 },
    )
  })

  it.each([
    ['NaN', { a: [1, Number.NaN] }, 'a.1', 'NaN'],
    ['an infinity', [Number.POSITIVE_INFINITY], '0', 'Infinity'],
    ['undefined in a list', { list: [undefined] }, 'list.0', 'undefined'],
    ['a function', { f: () => 1 }, 'f', 'function'],
    ['a bigint', { n: 1n }, 'n', 'bigint'],
    ['a Date', { at: new Date(0) }, 'at', 'ISO 8601'],
    ['a Map', { m: new Map() }, 'm', 'Map'],
    ['a lone surrogate', { text: '\ud800' }, 'text', 'lone surrogate'],
  ])('refuses %s, and says where it is', (_, value, path, what) => {
    expect(() => canonicalJson(value)).toThrow(new RegExp(`"${path}".*${what}`))
  })

  it('refuses a cycle and nesting that no decoder follows', () => {
    const cycle: { self?: unknown } = {}
    cycle.self = cycle
    expect(() => canonicalJson(cycle)).toThrow(/nesting deeper than 500/)
  })

  it('leaves out what is undefined, as optional properties come', () => {
    expect(canonicalJson({ b: undefined, a: { c: undefined } })).toBe('{"a":{}}')
  })

  it('keeps an own property called __proto__ a property', () => {
    const value: unknown = JSON.parse('{"b":1,"__proto__":{"admin":true}}')
    expect(canonicalJson(value)).toBe('{"__proto__":{"admin":true},"b":1}')
  })
})
