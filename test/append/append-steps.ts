import { defineCollection, type Collection } from '@headwater/core'
import * as fc from 'fast-check'
import { z } from 'zod'

export interface Thing {
  id: string
  content: z.core.util.JSONType
}

const schema = z.object({ id: z.string(), content: z.json() })

/** What a log can be asked to keep: values, no values, and a schema that has moved on. */
export const things: Collection<Thing> = defineCollection('things', { schema, key: ({ id }) => id })
const marks: Collection<Thing> = defineCollection('marks', {
  schema,
  key: ({ id }) => id,
  state: 'versions',
})
const later: Collection<Thing> = defineCollection('later', { schema, key: ({ id }) => id, schemaVersion: 3 })
export const collections: readonly Collection<Thing>[] = [things, marks, later]

export const keys: readonly string[] = [
  'plain',
  ' ',
  '0',
  '#1',
  'a;b',
  '%d',
  '{tag}',
  '__proto__',
  'line\nfeed',
  'line\\nfeed',
  '\\',
  '\\\n',
  'nul\0byte',
  'a/b',
  'Größe',
  '鍵',
  '👩‍🚀',
  '\u2028',
]

/** What a request expects, in words that only get their meaning when its turn comes. */
export type Expectation = 'any' | 'absent' | 'exists' | 'right' | 'wrong' | { readonly past: number }

interface DraftChange {
  readonly collection: Collection<Thing>
  readonly key: string
  /** Undefined deletes. */
  readonly content: z.core.util.JSONType | undefined
  readonly expectation: Expectation
}

/** A request whose expectations still have to be given their meaning. */
export interface Draft {
  readonly changes: readonly DraftChange[]
  readonly idempotencyKey: string | undefined
  readonly metadata: Readonly<Record<string, string>>
}

export type Step =
  | {
      readonly kind: 'append'
      readonly producer: 0 | 1
      readonly lists: boolean
      readonly drafts: readonly Draft[]
    }
  | { readonly kind: 'patch'; readonly producer: 0 | 1; readonly key: string; readonly content: string }
  | { readonly kind: 'append to a full server'; readonly drafts: readonly Draft[] }
  | { readonly kind: 'forget the scripts' }
  | { readonly kind: 'save' }
  /** The server comes back with what was saved last, as another server: everything since is a lost branch. */
  | { readonly kind: 'crash' }

export function steps(): fc.Arbitrary<Step[]> {
  const producer = fc.constantFrom(0 as const, 1 as const)
  const append = fc.boolean().chain((lists) =>
    fc.record({
      kind: fc.constant('append' as const),
      producer,
      lists: fc.constant(lists),
      drafts: drafts(lists ? 4 : 1),
    }),
  )
  const patch = fc.record({
    kind: fc.constant('patch' as const),
    producer,
    key: fc.constantFrom(...keys),
    content: fc.string({ maxLength: 5 }),
  })
  const full = fc.record({ kind: fc.constant('append to a full server' as const), drafts: drafts(1) })
  return fc.array(
    fc.oneof(
      { weight: 30, arbitrary: append },
      { weight: 3, arbitrary: patch },
      { weight: 1, arbitrary: full },
      { weight: 2, arbitrary: fc.constant({ kind: 'forget the scripts' as const }) },
      { weight: 1, arbitrary: fc.constant({ kind: 'save' as const }) },
      { weight: 1, arbitrary: fc.constant({ kind: 'crash' as const }) },
    ),
    { minLength: 1, maxLength: 20 },
  )
}

function drafts(changesMax: number): fc.Arbitrary<Draft[]> {
  const change: fc.Arbitrary<DraftChange> = fc.record({
    collection: fc.constantFrom(things, ...collections),
    key: fc.constantFrom(...keys),
    content: fc.option(content(), { nil: undefined, freq: 4 }),
    expectation: expectation(),
  })
  return fc.array(
    fc.record({
      changes: fc.array(change, { minLength: 1, maxLength: changesMax }),
      idempotencyKey: fc.option(fc.constantFrom('once', 'again', 'Ω\n1', '#1'), { nil: undefined, freq: 2 }),
      metadata: fc.constantFrom<Record<string, string>>(
        {},
        {},
        { by: 'me' },
        { by: 'you', why: 'line\nfeed\\' },
      ),
    }),
    { minLength: 1, maxLength: 12 },
  )
}

function content(): fc.Arbitrary<z.core.util.JSONType> {
  return fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom<z.core.util.JSONType>(null, true, '', '\n', {}, []),
    fc.array(fc.string({ unit: 'grapheme', maxLength: 4 }), { maxLength: 3 }),
  )
}

function expectation(): fc.Arbitrary<Expectation> {
  return fc.oneof(
    { weight: 6, arbitrary: fc.constant('any' as const) },
    { weight: 5, arbitrary: fc.constantFrom<Expectation>('absent', 'exists', 'right', 'right', 'wrong') },
    { weight: 1, arbitrary: fc.record({ past: fc.nat(50) }) },
  )
}
