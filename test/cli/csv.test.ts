import { Readable } from 'node:stream'
import { defineCollection } from '@headwater/core'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { CsvCells } from '../../packages/cli/src/csv-cells.ts'
import { csvRecords } from '../../packages/cli/src/csv-records.ts'
import { csvText } from '../../packages/cli/src/csv-text.ts'
import type { RecordLine } from '../../packages/cli/src/record-line.ts'

const articles = defineCollection('articles', {
  schema: z.object({
    id: z.string(),
    'a "name", of sorts': z.string().optional(),
    price: z.number(),
    pieces: z.int().optional(),
    on: z.boolean().optional(),
    tags: z.array(z.string()).optional(),
    size: z.object({ width: z.number() }).optional(),
    note: z.string().nullable(),
    seen: z.number().nullable(),
  }),
  key: ({ id }) => id,
})
const cells = new CsvCells(articles)

const article = fc.record(
  {
    id: fc.string({ unit: 'binary' }),
    'a "name", of sorts': fc.oneof(fc.constantFrom('', ' ', '\n', '\r', ',', '"', 'null', '7'), fc.string()),
    price: fc.double({ noNaN: true, noDefaultInfinity: true }).map((price) => price + 0),
    pieces: fc.maxSafeInteger(),
    on: fc.boolean(),
    tags: fc.array(fc.string()),
    size: fc.record({ width: fc.integer() }),
    note: fc.option(fc.string()),
    seen: fc.option(fc.integer()),
  },
  { requiredKeys: ['id', 'price', 'note', 'seen'], noNullPrototype: true },
)

async function textOf(values: readonly object[], columns = cells.columns): Promise<string> {
  const parts: Buffer[] = []
  const stream = csvText(columns, cells, Readable.from(values))
  for await (const part of stream) parts.push(Buffer.from(part))
  return Buffer.concat(parts).toString()
}

/** In pieces of a few bytes, as they may come. */
async function linesOf(text: string | Buffer, pieceBytes = 7): Promise<RecordLine[]> {
  const bytes = Buffer.from(text)
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, at) =>
    bytes.subarray(at * pieceBytes, (at + 1) * pieceBytes),
  )
  const lines: RecordLine[] = []
  for await (const line of csvRecords(Readable.from(pieces), cells)) lines.push(line)
  return lines
}

const valuesOf = (lines: readonly RecordLine[]): unknown[] =>
  lines.map((line) => (line.kind === 'value' ? line.value : line.why))

describe('CSV', () => {
  it('gives back what was written, whatever texts hold', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(article, { maxLength: 10 }), async (values) => {
        expect(valuesOf(await linesOf(await textOf(values)))).toEqual(values)
      }),
    )
  })

  it('tells an empty text from an absent member, and a text from what looks like a number', async () => {
    const values = [
      { id: '', price: 1, note: 'null', seen: null },
      { id: '7', 'a "name", of sorts': '', price: 7, note: null, seen: 7 },
    ]
    const text = await textOf(values)
    expect(text.split('\n').slice(1, 3)).toEqual(['"",,1,,,,,"null",', '"7","",7,,,,,,7'])
    expect(valuesOf(await linesOf(text))).toEqual(values)
  })

  it('leaves a number that is none to the schema, which says so', async () => {
    const [line] = await linesOf('id,price\nlamp,9 euro\n')
    expect(line).toMatchObject({ kind: 'value', number: 2, value: { id: 'lamp', price: '9 euro' } })
  })

  it('goes on behind a record with too many cells', async () => {
    const lines = await linesOf('\uFEFFid,price\r\nlamp,1\r\n\nbed,5,6\n"two\nlines",7\n')
    expect(lines.map(({ number, kind }) => `${number} ${kind}`)).toEqual(['2 value', '4 broken', '6 value'])
    expect(valuesOf(lines).slice(1)).toEqual([
      'the record has 3 cells, but there are 2 columns',
      { id: 'two\nlines', price: 7 },
    ])
  })

  it.each([
    ['inside a cell', 'de"sk,2', 3],
    ['behind the end of one', '"de"sk,2', 3],
    ['and is never closed', '"desk,2', 4],
    ['and closed too late', `"${'x'.repeat(17_000_000)}`, 3],
  ])('makes nothing up behind a quote that stands %s', async (_, record, line) => {
    const lines = await linesOf(`id,price\nlamp,1\n${record}\nchair,3\n`, 65_536)
    expect(lines.map(({ number, kind }) => `${number} ${kind}`)).toEqual(['2 value', `${line} broken`])
    expect(valuesOf(lines)[1]).toMatch(/; nothing behind it was read$/)
  })

  it.each([
    ['a column without a name', 'id,,price\n', /line 1: column 2 has no name/],
    ['two columns of one name', 'id,id\n', /two columns have the name "id"/],
    ['bytes that are no text', Buffer.from([105, 100, 10, 0xff, 10]), /no UTF-8/],
    ['names with a misplaced quote', 'id,"pri"ce\n', /line 1: a quote stands in the middle/],
  ])('refuses %s', async (_, text, message) => {
    await expect(linesOf(text, 65_536)).rejects.toThrow(message)
  })
})
