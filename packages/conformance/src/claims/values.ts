import * as fc from 'fast-check'
import { HeadwaterError, type Change, type Collection } from '@headwater/core'
import { aBook, books, type Book } from '../books.ts'
import { changeBuilder } from '../change-builder.ts'
import { notes, type Note } from '../notes.ts'
import type { SinkClaim } from '../sink-claim.ts'
import type { SinkHarness } from '../sink-harness.ts'
import { Trial } from '../trial.ts'

export const valueClaims: readonly SinkClaim[] = [
  {
    claim: 'keeps strange keys apart',
    run: (harness) =>
      Trial.run(harness, notes, async (trial) => {
        const log = changeBuilder({ collection: notes })
        const partition = await trial.open()
        const keys = harness.supports.nul ? [...strangeKeys, '\0', 'a\0', 'a\0b'] : strangeKeys
        for (const part of pairs(keys)) {
          await trial.deliver(
            partition,
            part.map((id) => log.put({ id, content: `the note of ${JSON.stringify(id)}` })),
          )
        }
        await trial.expectModel()
        for (const [id] of pairs(keys)) await trial.deliver(partition, [log.delete(id)])
        await trial.expectModel()
      }),
  },
  {
    claim: 'holds values of 900 KiB',
    run: (harness) =>
      Trial.run(harness, notes, async (trial) => {
        const log = changeBuilder({ collection: notes })
        const partition = await trial.open()
        const list = Array.from({ length: 90_000 }, (_, index) => (index * 7_919) % 1_000_003)
        await trial.deliver(partition, [log.put({ id: 'text', content: 'größer '.repeat(102_000) })])
        await trial.deliver(partition, [log.put({ id: 'list', content: list })])
        await trial.expectModel()
      }),
  },
  {
    claim: 'keeps apart what languages like to confuse: empty, zero, false, null, text and number',
    run: (harness) =>
      Trial.run(harness, notes, async (trial) => {
        const log = changeBuilder({ collection: notes })
        const partition = await trial.open()
        const contents = harness.supports.nul ? [...confusing, '\0', { '\0': '\0' }] : confusing
        const changes = contents.map((content, index) => log.put({ id: `note-${index}`, content }))
        for (const part of pairs(changes)) await trial.deliver(partition, part)
        await trial.expectModel()
      }),
  },
  {
    claim: 'gives back exactly the typed values that were applied',
    run: (harness) => roundTrip(harness, books, randomBook(harness.supports.nul)),
  },
  {
    claim: 'gives back exactly the free JSON that was applied',
    run: (harness) => roundTrip(harness, notes, randomNote(harness.supports.nul)),
  },
  {
    claim: 'rejects a change that it can never hold, and only that one',
    concerns: (harness) => poisons(harness).length > 0,
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const partition = await trial.open()
        for (const [index, spoil] of poisons(harness).entries()) {
          const key = `poison-${index}`
          const good = [`before-${index}`, `after-${index}`, `last-${index}`].map((id) => log.put(aBook(id)))
          const poison = log.put(spoil(aBook(key)))
          await trial.deliverExcept(partition, [...good.slice(0, 1), poison, ...good.slice(1)], poison)
          await trial.expectModel()
          await trial.deliver(partition, [log.put(aBook(key))])
          await trial.expectModel()
        }
      }),
  },
  {
    claim: 'rejects a change whose payload is no JSON, and only that one',
    run: (harness) =>
      Trial.run(harness, notes, async (trial) => {
        const log = changeBuilder({ collection: notes })
        const foreign = unreadable(log.put({ id: 'foreign', content: 1 }))
        const batch = [log.put({ id: 'a', content: 1 }), foreign, log.put({ id: 'b', content: 2 })]
        await trial.deliverExcept(await trial.open(), batch, foreign)
        await trial.expectModel()
      }),
  },
  {
    claim: 'rejects a key that it can never hold, and only that one',
    concerns: (harness) => !harness.supports.nul,
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const poison = log.put(aBook('a\0b'))
        const batch = [log.put(aBook('a')), poison, log.put(aBook('b'))]
        await trial.deliverExcept(await trial.open(), batch, poison)
        await trial.expectModel()
      }),
  },
]

const strangeKeys = [
  'a',
  'A',
  ' a',
  'a ',
  'ä',
  'a\u0308',
  'İ',
  'ß',
  'SS',
  '字',
  '👩‍👩‍👧',
  '\u{10ffff}',
  '\ufeff',
  '\u200b',
  '\n',
  '\r\n',
  '\t',
  '\u007f',
  "'",
  '"',
  "'); --",
  '`',
  '\\',
  '\\0',
  '%00',
  '%s',
  '$1',
  '?',
  '*',
  '{}',
  '{a}b',
  'a}{',
  ':',
  '::',
  '/',
  '../a',
  '0',
  '00',
  '0.0',
  '-1',
  '1e3',
  'null',
  'undefined',
  'true',
  'NaN',
  '__proto__',
  'constructor',
  'toString',
  'hw',
  'x'.repeat(1_024),
  'x'.repeat(1_023),
  '語'.repeat(341),
]

const confusing: Note['content'][] = [
  '',
  ' ',
  '0',
  'null',
  'false',
  '{}',
  '"quoted"',
  '\\u0000',
  '2020-01-01T00:00:00.000Z',
  0,
  1,
  -1,
  0.1,
  1e21,
  5e-324,
  Number.MAX_VALUE,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  true,
  false,
  null,
  [],
  {},
  [[]],
  [null],
  [{}],
  { '': '' },
  { a: null, b: [], c: {}, d: '' },
  { '1': 'one', '0': 'zero' },
  { constructor: 'c', toString: 't' },
  JSON.parse('{"__proto__":{"a":1}}') as Note['content'],
  JSON.parse('['.repeat(100) + ']'.repeat(100)) as Note['content'],
]

/** What spoils a value for this target: the adapter's own way, and U+0000 where that does. */
function poisons({ poison, supports }: SinkHarness): ((book: Book) => Book)[] {
  return [...(poison ? [poison] : []), ...(supports.nul ? [] : [putNulIntoTitle])]
}

function putNulIntoTitle(book: Book): Book {
  return { ...book, title: 'a\0b' }
}

/** One target for all runs, emptied after each: a table for each of them would take most of the time. */
function roundTrip<T extends { id: string }>(
  harness: SinkHarness,
  collection: Collection<T>,
  value: fc.Arbitrary<T>,
): Promise<void> {
  const values = fc.uniqueArray(value, { selector: ({ id }) => id, minLength: 1, maxLength: 10 })
  return Trial.run(harness, collection, async (trial) => {
    const log = changeBuilder({ collection })
    const partition = await trial.open()
    const property = fc.asyncProperty(values, async (batch) => {
      const puts = batch.map((each) => log.put(each))
      await trial.deliver(partition, puts)
      await trial.expectModel()
      const deletes = batch.map(({ id }) => log.delete(id))
      await trial.deliver(partition, deletes)
    })
    await fc.assert(property, { numRuns: harness.runs ?? 20, endOnFailure: true })
    await trial.expectModel()
  })
}

/** Any character, and often one that some language, format or encoding minds. (`unit: 'binary'` takes a second to set up.) */
const character: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...Array.from('aA0 \0\n\t"\'`\\/%$?{}[]:,éß\u0308\ufeff語👩\u{10ffff}')),
  fc
    .nat(0x10_ff_ff)
    .map((point) => String.fromCodePoint(point < 0xd8_00 || point > 0xdf_ff ? point : 0xff_fd)),
)

function randomText(nul: boolean, minLength = 0): fc.Arbitrary<string> {
  const text = fc.string({ unit: character, minLength, maxLength: 20 })
  return nul ? text : text.map((characters) => characters.replaceAll('\0', '0'))
}

function randomBook(nul: boolean): fc.Arbitrary<Book> {
  const text = randomText(nul)
  const dateTime = fc
    .tuple(fc.date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true }), fc.nat(9))
    .map(
      ([date, digits]) =>
        `${date.toISOString().slice(0, 19)}${digits > 0 ? `.${'123456789'.slice(0, digits)}` : ''}Z`,
    )
  return fc.record(
    {
      id: randomText(nul, 1),
      title: text,
      pages: fc.maxSafeInteger(),
      weightKg: fc.double({ noNaN: true, noDefaultInfinity: true }),
      inPrint: fc.boolean(),
      subtitle: fc.option(text),
      series: text,
      publisher: fc.record({ name: text, city: fc.option(text) }),
      tags: fc.array(text, { maxLength: 4 }),
      publishedAt: dateTime,
    },
    {
      requiredKeys: [
        'id',
        'title',
        'pages',
        'weightKg',
        'inPrint',
        'subtitle',
        'publisher',
        'tags',
        'publishedAt',
      ],
    },
  )
}

function randomNote(nul: boolean): fc.Arbitrary<Note> {
  const json = fc.jsonValue({ stringUnit: character, maxDepth: 4 })
  return fc.record({
    id: randomText(nul, 1),
    content: (nul
      ? json
      : json.filter((value) => !JSON.stringify(value).includes('\\u0000'))) as fc.Arbitrary<Note['content']>,
  })
}

/** As one that somebody else has put into the log: its payload is not what we write, and whoever decodes it is told. */
function unreadable(change: Change<Note>): Change<Note> {
  return {
    ...change,
    payload: '{"id":"foreign"',
    get value(): never {
      throw new HeadwaterError('CHANGE_UNREADABLE', 'The change holds no JSON.')
    },
  }
}

/** Two at a time, so that neighbours in the list meet in one batch. */
function* pairs<T>(items: readonly T[]): Generator<[T, ...T[]], void> {
  for (let index = 0; index < items.length; index += 2) {
    const [first, ...rest] = items.slice(index, index + 2)
    if (first !== undefined) yield [first, ...rest]
  }
}
