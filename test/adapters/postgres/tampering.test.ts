import { aBook, books, type Book } from '@headwater/conformance'
import type { SinkRow } from '@headwater/core'
import { Pool } from 'pg'
import { describe, expect, it } from 'vitest'
import { openDatabase, pool, schema, server } from './database.ts'
import { apply, openReplica, words } from './replica.ts'

openDatabase()

/** A table with an atlas and a novel that was deleted, and a way to change it behind the sink's back. */
async function tampered(sql: string, options: object = {}) {
  const made = await openReplica(pool, books, { schema, ...options })
  const { log, partition, sink, table } = made
  const atlas = log.put(aBook('atlas'))
  const changes = [atlas, log.put(aBook('novel')), log.delete('novel')]
  for (const change of changes) await apply(partition, [change])
  await pool.query(sql.replaceAll('BOOKS', `"${schema}"."${table}"`))
  const rows = new Map<string, SinkRow>()
  for await (const row of sink.list?.() ?? []) rows.set(row.key, row)
  return { ...made, atlas, rows }
}

describe('what was done to a table behind our back', () => {
  it.each<[string, string, Partial<Book>]>([
    ['a text', `title = 'Forged'`, { title: 'Forged' }],
    ['a number that no log can hold', `pages = 9223372036854775807`, { pages: 2 ** 63 }],
    ['a number that is none', `"weightKg" = 'NaN'`, { weightKg: 'NaN' as never }],
    ['a number without end', `"weightKg" = '-Infinity'`, { weightKg: '-Infinity' as never }],
    ['a null that was filled in', `subtitle = 'Forged'`, { subtitle: 'Forged' }],
    ['an absent property that was filled in', `series = ''`, { series: '' }],
    [
      'a value inside jsonb',
      `publisher = jsonb_set(publisher, '{city}', '"Forged"')`,
      { publisher: { name: 'Quay Press', city: 'Forged' } },
    ],
    ['the column for the rest', `hw_rest = '{"subtitle": null, "more": 1}'`, { more: 1 } as object],
    ['the column for the rest, into something else', `hw_rest = '[1]'`, { subtitle: undefined }],
    [
      'a time by a microsecond',
      `"publishedAt" = "publishedAt" + '1 microsecond'`,
      { publishedAt: '2019-03-14T09:26:53.000001Z' },
    ],
    ['a time without end', `"publishedAt" = 'infinity'`, { publishedAt: undefined }],
  ])('shows when it is read: %s', async (_what, set, expected) => {
    const columns = { publishedAt: { type: 'timestamptz' } } as const
    const book = aBook('atlas', { publishedAt: '2019-03-14T09:26:53.000Z' })
    const { log, partition, look, table } = await openReplica(pool, books, { schema, columns })
    await apply(partition, [log.put(book)])
    await pool.query(`UPDATE "${schema}"."${table}" SET ${set}`)
    expect((await look('atlas'))?.value).toEqual({ ...book, ...expected })
  })

  it('shows when a value in layout jsonb was edited, or taken away', async () => {
    const edited = await tampered(`UPDATE BOOKS SET value = value || '{"title": "Forged"}'`, {
      layout: 'jsonb',
    })
    expect((await edited.look('atlas'))?.value).toEqual({ ...aBook('atlas'), title: 'Forged' })
    const gone = await tampered(`UPDATE BOOKS SET value = NULL`, { layout: 'jsonb' })
    expect((await gone.look('atlas'))?.value).toBeNull()
  })

  it('shows when a stamp or a hash was edited, in list and in read', async () => {
    const { rows, look } = await tampered('UPDATE BOOKS SET hw_epoch = 7, hw_hash = hw_hash - 1')
    expect(rows.get('atlas')?.stamp).toEqual({ epoch: 7, sequence: 1 })
    expect(rows.get('atlas')).toMatchObject({ hash: (await look('atlas'))?.hash })
  })

  it('shows when a row was deleted: it is unknown', async () => {
    const { rows, look, log, partition } = await tampered('DELETE FROM BOOKS')
    expect([...rows.keys()]).toEqual(['novel'])
    expect(await look('atlas')).toBeUndefined()
    expect(words(await apply(partition, [log.put(aBook('atlas'))]))).toEqual(['applied'])
  })

  it('shows when a row was inserted: one older than everything, which the next change of its key replaces', async () => {
    const { rows, look, log, partition } = await tampered(
      `INSERT INTO BOOKS (key, title) VALUES ('poems', 'Forged')`,
    )
    expect(rows.get('poems')).toEqual({
      key: 'poems',
      deleted: false,
      stamp: { epoch: 0, sequence: 0 },
      hash: 0n,
    })
    expect((await look('poems'))?.value).toEqual({ title: 'Forged' })
    expect(words(await apply(partition, [log.put(aBook('poems'))]))).toEqual(['applied'])
    expect((await look('poems'))?.value).toEqual(aBook('poems'))
  })

  it('shows when a deleted row was inserted again: it is live, and the next change of its key replaces it', async () => {
    const { look, log, partition } = await tampered(
      `INSERT INTO BOOKS (key, title) VALUES ('novel', 'Forged')`,
    )
    expect(await look('novel')).toMatchObject({ deleted: false, stamp: { epoch: 0, sequence: 0 } })
    expect(words(await apply(partition, [log.delete('novel')]))).toEqual(['applied'])
    expect(await look('novel')).toMatchObject({ deleted: true })
  })
})

describe('an application that reads Postgres in its own way', () => {
  it('does not change what we read', async () => {
    const careless = new Pool({
      ...server.connection,
      types: { getTypeParser: () => () => 'parsed by the application' },
      options:
        '-c DateStyle=SQL,DMY -c TimeZone=Asia/Kolkata -c IntervalStyle=postgres_verbose -c extra_float_digits=0',
    })
    try {
      const columns = { publishedAt: { type: 'timestamptz' } } as const
      const book = aBook('atlas', { publishedAt: '2019-03-14T09:26:53.589Z', weightKg: 0.1 })
      const { log, partition, look, sink, open } = await openReplica(careless, books, { schema, columns })
      const change = log.put(book)
      await apply(partition, [change], { position: { epoch: 1, sequence: 1, branch: 'a' } })
      const held = await look('atlas')
      expect(held).toMatchObject({ key: 'atlas', deleted: false, stamp: change.stamp, hash: change.hash })
      expect(held?.value).toEqual(book)
      for await (const row of sink.list?.() ?? []) expect(row).toMatchObject({ hash: change.hash })
      expect((await open()).position).toEqual({ epoch: 1, sequence: 1, branch: 'a' })
    } finally {
      await careless.end()
    }
  })
})
