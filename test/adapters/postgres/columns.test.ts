import { randomUUID } from 'node:crypto'
import { canonicalJson, defineCollection } from '@headwater/core'
import { aBook, books } from '@headwater/conformance'
import { postgresSink } from '@headwater/postgres'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { openDatabase, pool, schema } from './database.ts'
import { apply, openReplica, replica, words } from './replica.ts'

openDatabase()

function bookSink(options: object): () => unknown {
  return () => postgresSink({ pool, collection: books, table: 'books', ...options })
}

async function columnTypesOf(table: string): Promise<Record<string, string>> {
  const { rows } = await pool.query<{ name: string; type: string }>(
    `SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a
      WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND a.attname NOT LIKE 'hw\\_%' ORDER BY a.attnum`,
    [`"${schema}"."${table}"`],
  )
  return Object.fromEntries(rows.map(({ name, type }) => [name, type]))
}

async function rowsOf(table: string, columns: string): Promise<unknown[]> {
  const { rows } = await pool.query<Record<string, unknown>>(
    `SELECT ${columns} FROM "${schema}"."${table}" ORDER BY 1`,
  )
  return rows
}

describe('the columns of a table', () => {
  it('follow the JSON Schema of the collection', async () => {
    const shapes = defineCollection('shapes', {
      schema: z.object({
        name: z.string(),
        kind: z.enum(['a', 'b']),
        count: z.int(),
        size: z.number(),
        ok: z.boolean(),
        note: z.string().nullish(),
        choice: z.union([z.literal('a'), z.literal('b'), z.null()]),
        either: z.union([z.string(), z.number()]),
        nested: z.object({ a: z.string() }),
        list: z.array(z.string()),
        at: z.iso.datetime(),
        anything: z.unknown(),
      }),
      key: (shape) => shape.name,
    })
    const { table } = await openReplica(pool, shapes, { schema })
    expect(await columnTypesOf(table)).toEqual({
      key: 'text',
      name: 'text',
      kind: 'text',
      count: 'bigint',
      size: 'double precision',
      ok: 'boolean',
      note: 'text',
      choice: 'text',
      either: 'jsonb',
      nested: 'jsonb',
      list: 'jsonb',
      at: 'text',
      anything: 'jsonb',
    })
  })

  it('take the names and types that the mapping gives, and give every value back', async () => {
    const { table, log, partition, look } = await openReplica(pool, books, {
      schema,
      columns: {
        title: 'book title',
        pages: { type: 'integer' },
        weightKg: { name: 'weight_kg', type: 'numeric' },
        publisher: { type: 'json' },
        publishedAt: { name: 'published_at', type: 'timestamptz' },
      },
    })
    const book = aBook('atlas', { weightKg: 0.1, publishedAt: '2019-03-14T09:26:53.000Z' })
    expect(words(await apply(partition, [log.put(book)]))).toEqual(['applied'])
    expect(await columnTypesOf(table)).toMatchObject({
      'book title': 'text',
      pages: 'integer',
      weight_kg: 'numeric',
      publisher: 'json',
      published_at: 'timestamp with time zone',
    })
    expect(await rowsOf(table, '"book title", weight_kg, published_at')).toEqual([
      { 'book title': book.title, weight_kg: '0.1', published_at: new Date(book.publishedAt) },
    ])
    expect((await look('atlas'))?.value).toEqual(book)
  })

  it('have to be given with their types where the schema has no JSON Schema', async () => {
    const opaque = defineCollection('opaque', {
      schema: z.object({ id: z.string(), at: z.custom<string>() }),
      key: (value) => value.id,
    })
    const make = (columns: object) => () =>
      postgresSink({ pool, collection: opaque, table: 'opaque', columns })
    expect(make({})).toThrow(/no JSON Schema .* \[OPTION_INVALID\]/)
    expect(make({ id: 'id' })).toThrow(/property "id": give its column a type \(text, .* \[OPTION_INVALID\]/)
    expect(make({ id: { type: 'uuid' } })).toThrow(/has type "uuid": use one of text, .* \[OPTION_INVALID\]/)
    const columns = { id: { type: 'text' }, at: { type: 'text' } } as const
    const { log, partition, look } = await openReplica(pool, opaque, { schema, columns })
    await apply(partition, [log.put({ id: 'a', at: 'now' })])
    expect((await look('a'))?.value).toEqual({ id: 'a', at: 'now' })
  })

  it('are those of what the schema gives, where it takes something else', async () => {
    const tagged = defineCollection('tagged', {
      schema: z.object({ id: z.string(), tag: z.string().default('none') }),
      key: (value) => value.id,
    })
    const { log, partition, look } = await openReplica(pool, tagged, { schema })
    await apply(partition, [log.put({ id: 'a', tag: 'none' })])
    expect((await look('a'))?.value).toEqual({ id: 'a', tag: 'none' })
  })

  it('can hold the key in the column of the property that is the key', async () => {
    const { table, log, partition, look } = await openReplica(pool, books, { schema, keyColumn: 'id' })
    const atlas = aBook('atlas')
    const forged = { ...log.put(aBook('novel')), key: 'other' }
    expect(words(await apply(partition, [log.put(atlas), forged]))).toEqual([
      'applied',
      'reject SINK_REJECTED',
    ])
    expect(await rowsOf(table, 'id, title')).toEqual([{ id: 'atlas', title: atlas.title }])
    expect((await look('atlas'))?.value).toEqual(atlas)
    expect(Object.keys(await columnTypesOf(table))).not.toContain('key')
  })
})

describe('absent, null and unknown properties', () => {
  const loose = defineCollection('loose', {
    schema: z.looseObject({
      id: z.string(),
      note: z.string().nullish(),
      size: z.number().nullable().optional(),
    }),
    key: (value) => value.id,
  })
  const values: z.infer<typeof loose.schema & z.ZodType>[] = [
    { id: '0' },
    { id: '1', note: null },
    { id: '2', note: 'x', size: null },
    { id: '3', note: '', size: 0, colour: 'red', nothing: null },
    { id: '4', ['__proto__']: { a: 1 }, constructor: 'c', toString: null },
  ]

  it('are told apart when they are read back', async () => {
    const { log, partition, look } = await openReplica(pool, loose, { schema })
    await apply(
      partition,
      values.map((value) => log.put(value as never)),
    )
    for (const [index, value] of values.entries()) {
      expect(canonicalJson((await look(String(index)))?.value)).toBe(canonicalJson(value))
    }
  })

  it('leave hw_rest NULL in every row whose columns say all', async () => {
    const { table, log, partition } = await openReplica(pool, loose, { schema })
    await apply(partition, [
      log.put({ id: '0' }),
      log.put({ id: '1', note: 'x' }),
      log.put({ id: '2', note: null }),
    ])
    expect(await rowsOf(table, 'key, note, hw_rest')).toEqual([
      { key: '0', note: null, hw_rest: null },
      { key: '1', note: 'x', hw_rest: null },
      { key: '2', note: null, hw_rest: { note: null } },
    ])
  })

  it('mean the same when the schema has changed since', async () => {
    const strict = defineCollection('loose', {
      schema: z.object({ id: z.string(), note: z.string().nullable(), size: z.number().nullable() }),
      key: (value) => value.id,
    })
    const { table, log, partition } = await openReplica(pool, strict, { schema })
    await apply(partition, [log.put({ id: 'a', note: null, size: 1 })])
    const { look } = replica(pool, loose, { schema, table })
    expect((await look('a'))?.value).toEqual({ id: 'a', note: null, size: 1 })
  })
})

describe('a value that its column cannot give back unchanged', () => {
  const things = defineCollection('things', {
    schema: z.object({ id: z.string(), count: z.number(), at: z.string(), data: z.unknown() }),
    key: (thing) => thing.id,
  })
  const good = { id: 'good', count: 1, at: '2020-02-29T00:00:00.000Z', data: {} }

  it.each([
    ['half an integer', { count: 0.5 }],
    ['an integer beyond 2^53', { count: 2 ** 60 }],
    ['a time with an offset', { at: '2020-02-29T01:00:00.000+01:00' }],
    ['a time with other digits', { at: '2020-02-29T00:00:00Z' }],
    ['a day that does not exist', { at: '2021-02-29T00:00:00.000Z' }],
    ['the year 0', { at: '0000-02-29T00:00:00.000Z' }],
    ['U+0000 in jsonb', { data: { a: 'x\0' } }],
    ['U+0000 in text', { id: 'bad\0' }],
    ['a text in the column of numbers', { count: '1' as never }],
  ])('is rejected, and nothing else: %s', async (_what, change) => {
    const columns = { count: { type: 'bigint' }, at: { type: 'timestamptz' } } as const
    const { table, log, partition } = await openReplica(pool, things, { schema, columns })
    const bad = log.put({ ...good, id: 'bad', ...change })
    const batch = [log.put(good), bad, log.put({ ...good, id: 'last' })]
    const outcomes = await apply(partition, batch)
    expect(words(outcomes)).toEqual(['applied', 'reject SINK_REJECTED', 'applied'])
    expect(await rowsOf(table, 'key')).toEqual([{ key: 'good' }, { key: 'last' }])
  })

  it('is named by property and column, and not shown', async () => {
    const columns = { count: { type: 'bigint' } } as const
    const { log, partition } = await openReplica(pool, things, { schema, columns })
    const [outcome] = await apply(partition, [log.put({ ...good, count: 'secret' as never })])
    expect(outcome).toMatchObject({ kind: 'reject' })
    const message = outcome && 'error' in outcome ? outcome.error.message : ''
    expect(message).toContain('property "count" of column "count" does not fit the type bigint')
    expect(message).not.toContain('secret')
  })

  it('is taken where the mapping chooses a type that can hold it', async () => {
    const columns = { at: { type: 'json' }, data: { type: 'json' } } as const
    const { log, partition, look } = await openReplica(pool, things, { schema, columns })
    const value = { ...good, at: 'a\0b', data: { '\0': '\0' } }
    expect(words(await apply(partition, [log.put(value)]))).toEqual(['applied'])
    expect((await look('good'))?.value).toEqual(value)
  })
})

describe('names', () => {
  const hostile = [
    '"; DROP TABLE x; --',
    'a"b',
    '`',
    '$1',
    '?',
    'select',
    'pg_catalog.pg_class',
    'ABC',
    'abc',
    'ä',
    '\\',
    ' ',
    "'",
    '%s',
    '{}',
  ]

  it('are taken literally, whatever they look like', async () => {
    const shape = Object.fromEntries(hostile.map((name) => [name, z.string().optional()]))
    const odd = defineCollection('odd', { schema: z.object(shape), key: () => 'the key' })
    const value = Object.fromEntries(hostile.map((name) => [name, `the value of ${name}`]))
    for (const name of hostile) {
      const options = { schema: `${schema} ${name}`, table: name, prefix: `${name}_` }
      const { log, partition, look, sink } = await openReplica(pool, odd, {
        ...options,
        keyColumn: `key ${name}`,
      })
      expect(words(await apply(partition, [log.put(value)]))).toEqual(['applied'])
      expect((await look('the key'))?.value).toEqual(value)
      await sink.prepare?.()
      await pool.query(`DROP SCHEMA "${options.schema.replaceAll('"', '""')}" CASCADE`)
    }
  })

  it.each([
    ['an empty table', { table: '' }],
    ['a table of 64 bytes', { table: 'ä'.repeat(32) }],
    ['a schema of 64 bytes', { schema: 'x'.repeat(64) }],
    ['a prefix that leaves no room', { prefix: 'x'.repeat(54) }],
    ['U+0000', { table: 'a\0b' }],
    ['a lone surrogate', { table: 'a\ud800' }],
    ['a column of 64 bytes', { columns: { title: 'x'.repeat(64) } }],
    ['an empty column', { columns: { title: '' } }],
    ['a system column', { columns: { title: 'xmin' } }],
    ['a system column for the key', { keyColumn: 'ctid' }],
    ['a side table', { table: 'hw_tombstones' }],
    ['no text at all', { table: 7 }],
  ])('are refused when Postgres would cut or refuse them: %s', (_what, options) => {
    expect(bookSink(options)).toThrow(/\[OPTION_INVALID\]/)
  })

  it.each([
    ['two properties', { columns: { title: 'series' } }],
    ['a property and the property that is the key', { columns: { title: 'id' }, keyColumn: 'id' }],
    ['a property and the key', { columns: { title: 'key' } }],
    ['a property and the column of our own', { columns: { title: 'hw_hash' } }],
    ['a property and our column for the rest', { columns: { title: 'hw_rest' } }],
    ['the key and the value', { layout: 'jsonb', keyColumn: 'value' }],
    ['a key that is a number', { keyColumn: 'pages' }],
  ])('are refused when two columns would have the same: %s', (_what, options) => {
    expect(bookSink(options)).toThrow(/\[OPTION_INVALID\]/)
  })

  it('can be as long as Postgres takes them', async () => {
    const table = randomUUID().padEnd(63, 'x')
    const columns = { title: 'y'.repeat(63) }
    const { log, partition, look } = await openReplica(pool, books, {
      schema,
      table,
      columns,
      prefix: 'p'.repeat(53),
    })
    await apply(partition, [log.put(aBook('atlas'))])
    expect((await look('atlas'))?.value).toEqual(aBook('atlas'))
  })
})

describe('options', () => {
  it.each([
    ['columns in layout jsonb', { layout: 'jsonb', columns: {} }],
    ['a value column in layout columns', { valueColumn: 'v' }],
    ['an unknown layout', { layout: 'rows' }],
  ])('are refused when they mean nothing: %s', (_what, options) => {
    expect(bookSink(options)).toThrow(/\[OPTION_INVALID\]/)
  })
})
