import { randomBytes } from 'node:crypto'
import { aBook, books, type Book } from '@headwater/conformance'
import { describe, expect, it } from 'vitest'
import { openDatabase, pool, schema } from './database.ts'
import { apply, errorOf, openReplica, remedyOf, words } from './replica.ts'

openDatabase()

/** A table of books, and a way to run SQL on it: TABLE stands for its name. */
async function bookTable() {
  const made = await openReplica(pool, books, { schema })
  const alter = (sql: string) => pool.query(sql.replaceAll('TABLE_NAME', `"${schema}"."${made.table}"`))
  const keys = async () =>
    (await pool.query<{ key: string }>(`SELECT key FROM "${schema}"."${made.table}" ORDER BY key`)).rows.map(
      ({ key }) => key,
    )
  return { ...made, alter, keys }
}

describe('a row that the table itself refuses', () => {
  const secret = randomBytes(5_000).toString('hex')
  const bad: Partial<Book> = { title: secret, pages: 13 }

  it.each([
    ['a CHECK', 'ALTER TABLE TABLE_NAME ADD CONSTRAINT lucky CHECK (pages <> 13)', '23514', 'lucky'],
    ['a unique column', 'CREATE UNIQUE INDEX ON TABLE_NAME (pages) WHERE pages = 13', '23505', '_pages_idx'],
    [
      'a foreign key',
      'CREATE TABLE IF NOT EXISTS authors (pages bigint PRIMARY KEY); TRUNCATE authors CASCADE; INSERT INTO authors VALUES (1), (2), (3); ALTER TABLE TABLE_NAME ADD CONSTRAINT fk FOREIGN KEY (pages) REFERENCES authors',
      '23503',
      'fk',
    ],
    [
      'a trigger',
      `CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.pages = 13 THEN RAISE ''unlucky''; END IF; RETURN NEW; END';
       CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON TABLE_NAME FOR EACH ROW EXECUTE FUNCTION refuse()`,
      'P0001',
      'unlucky',
    ],
    ['an index with a limit', 'CREATE INDEX ON TABLE_NAME (title)', '54000', 'index row'],
  ])('is rejected alone, with the reason and without its content: %s', async (what, sql, state, word) => {
    const { alter, log, partition, keys } = await bookTable()
    await alter(`SET search_path TO "${schema}"; ${sql}`)
    const others = [1, 2, 3].map((pages) => log.put(aBook(`book-${pages}`, { pages })))
    const first = what === 'a unique column' ? [log.put(aBook('a-first', { pages: 13 }))] : []
    const outcomes = await apply(partition, [...first, ...others, log.put(aBook('refused', bad))])
    const [outcome] = outcomes.filter(({ kind }) => kind === 'reject')
    expect(words(outcomes)).toEqual([...[...first, ...others].map(() => 'applied'), 'reject SINK_REJECTED'])
    expect(await keys()).toEqual([...first, ...others].map(({ key }) => key))
    const error = outcome && 'error' in outcome ? outcome.error : undefined
    expect(error?.message).toContain(`SQLSTATE ${state}`)
    expect(error?.message).toContain(word)
    expect(error?.message).not.toContain(secret.slice(0, 20))
    expect(error?.cause).toMatchObject({ code: state })
  })

  it('is not repeated at length where the reason repeats it', async () => {
    const { alter, log, partition } = await bookTable()
    await alter(
      `CREATE FUNCTION "${schema}".complain() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''%'', NEW.title; END';
       CREATE TRIGGER complain BEFORE INSERT ON TABLE_NAME FOR EACH ROW EXECUTE FUNCTION "${schema}".complain()`,
    )
    const [outcome] = await apply(partition, [log.put(aBook('atlas', { title: 'long '.repeat(10_000) }))])
    expect(outcome).toMatchObject({ kind: 'reject', error: { code: 'SINK_REJECTED' } })
    expect(outcome && 'error' in outcome && outcome.error.message.length).toBeLessThan(500)
  })

  it('is taken once the reason is gone', async () => {
    const { alter, log, partition, look } = await bookTable()
    await alter('ALTER TABLE TABLE_NAME ADD CONSTRAINT lucky CHECK (pages <> 13)')
    const change = log.put(aBook('atlas', bad))
    expect(words(await apply(partition, [change]))).toEqual(['reject SINK_REJECTED'])
    await alter('ALTER TABLE TABLE_NAME DROP CONSTRAINT lucky')
    expect(words(await apply(partition, [change]))).toEqual(['applied'])
    expect((await look('atlas'))?.value).toEqual(change.value)
  })

  it('leaves the position where it was when it stands alone, for nothing was applied', async () => {
    const { alter, log, partition, open } = await bookTable()
    await alter('ALTER TABLE TABLE_NAME ADD CONSTRAINT lucky CHECK (pages <> 13)')
    await partition.advance({ epoch: 1, sequence: 5, branch: 'a' })
    await apply(partition, [log.put(aBook('atlas', bad))], {
      position: { epoch: 1, sequence: 6, branch: 'a' },
    })
    expect((await open()).position).toEqual({ epoch: 1, sequence: 5, branch: 'a' })
  })
})

describe('a table that was changed under us', () => {
  it.each([
    ['a column was dropped', 'ALTER TABLE TABLE_NAME DROP COLUMN title'],
    ['a column was renamed', 'ALTER TABLE TABLE_NAME RENAME COLUMN title TO heading'],
    [
      'a column was narrowed',
      'ALTER TABLE TABLE_NAME ALTER COLUMN title TYPE varchar(3) USING left(title, 3)',
    ],
    ['a column has another type', 'ALTER TABLE TABLE_NAME ALTER COLUMN pages TYPE integer'],
    [
      'a column must be given',
      'ALTER TABLE TABLE_NAME ADD COLUMN shelf text NOT NULL DEFAULT 1; ALTER TABLE TABLE_NAME ALTER COLUMN shelf DROP DEFAULT',
    ],
    ['our own column was dropped', 'ALTER TABLE TABLE_NAME DROP COLUMN hw_hash'],
    ['the primary key was dropped', 'ALTER TABLE TABLE_NAME DROP CONSTRAINT CONSTRAINT_NAME'],
  ])('stops the sink instead of rejecting its rows, and goes on when mended: %s', async (_what, sql) => {
    const { alter, log, partition, sink, look, table } = await bookTable()
    await apply(partition, [log.put(aBook('before'))])
    await alter(sql.replace('CONSTRAINT_NAME', `"${table.slice(0, 58)}_pkey"`))
    const batch = [log.put(aBook('atlas', { pages: 2 ** 40 })), log.put(aBook('novel')), log.delete('before')]
    expect(words(await apply(partition, batch))).toEqual(batch.map(() => 'retry SINK_MISCONFIGURED'))
    const error = await errorOf(sink.prepare?.())
    expect(error).toMatchObject({ code: 'SINK_MISCONFIGURED' })
    await pool.query(remedyOf(error))
    await sink.prepare?.()
    expect(words(await apply(partition, batch))).toEqual(batch.map(() => 'applied'))
    expect((await look('atlas'))?.value).toEqual(aBook('atlas', { pages: 2 ** 40 }))
  })

  it('stops the sink when it was dropped, and starts from nothing when it was made again', async () => {
    const { alter, log, partition, sink, open, table } = await bookTable()
    const changes = [log.put(aBook('atlas')), log.delete('novel')]
    await apply(partition, changes, { position: { epoch: 1, sequence: 2, branch: 'a' } })
    await alter('DROP TABLE TABLE_NAME')
    expect(words(await apply(partition, [log.put(aBook('poems'))]))).toEqual(['retry SINK_MISCONFIGURED'])
    await sink.prepare?.()
    await expect(apply(partition, [log.put(aBook('poems'))])).rejects.toMatchObject({ code: 'SINK_FENCED' })
    const again = await open()
    expect(again.position).toBeUndefined()
    expect(words(await apply(again, changes))).toEqual(['applied', 'applied'])
    const { rows } = await pool.query(`SELECT key FROM "${schema}".hw_tombstones WHERE target = $1`, [table])
    expect(rows).toEqual([{ key: 'novel' }])
  })
})
