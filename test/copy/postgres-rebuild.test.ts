import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import { connect, defineCollection, rebuild, startWorker, verify, type Log } from '@headwater/core'
import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '@headwater/local-servers'
import { postgresSink } from '@headwater/postgres'
import { Pool } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'

const products = defineCollection('products', {
  schema: z.object({ sku: z.string(), name: z.string(), price: z.int() }),
  key: ({ sku }) => sku,
})

let redis: RedisServer
let postgres: PostgresServer
let pool: Pool
let log: Log
let table: string
beforeAll(async () => {
  ;[redis, postgres] = await Promise.all([startRedis(), startPostgres()])
  pool = new Pool(postgres.connection)
  await pool.query(`DROP ROLE IF EXISTS headwater_reader`)
  await pool.query(`CREATE ROLE headwater_reader`)
})
afterAll(async () => {
  await pool.query(`DROP OWNED BY headwater_reader`)
  await pool.query(`DROP ROLE headwater_reader`)
  await pool.end()
  await Promise.all([redis.stop(), postgres.stop()])
})
beforeEach(async () => {
  table = `products_${randomUUID().slice(0, 8)}`
  log = await connect(redis.options, {
    namespace: `${redis.namespacePrefix}${randomUUID()}`,
    collections: [products, notes],
    partitions: 2,
  })
  return () => log.close()
})

const sink = (price: 'bigint' | 'numeric' = 'bigint') =>
  postgresSink({
    pool,
    collection: products,
    schema: postgres.schema,
    table,
    keyColumn: 'sku',
    columns: { price: { name: 'price', type: price } },
  })

const of = (name: string): string => `"${postgres.schema}"."${name}"`

async function fill(log: Log): Promise<void> {
  const skus = ['lamp', 'desk', 'chair']
  await Promise.all(skus.map((sku, at) => log.append(products.put({ sku, name: sku, price: at + 1 }))))
}

async function applied(log: Log): Promise<void> {
  for (let partition = 0; partition < log.partitions; partition++) {
    const end = await log.end(partition)
    if (!end.endsWith('-0')) await log.whenApplied(end, { group: 'shop' })
  }
}

async function column<T>(sql: string, values: unknown[] = []): Promise<T[]> {
  const { rows } = await pool.query<Record<string, T>>(sql, values)
  return rows.map((row) => Object.values(row)[0]!)
}

const indexesOf = (name: string): Promise<string[]> =>
  column('SELECT indexname FROM pg_indexes WHERE schemaname = $1 AND tablename = $2 ORDER BY 1', [
    postgres.schema,
    name,
  ])

describe('a rebuilt table', () => {
  it('has what its owner gave the old one, under the same names, and views read it', async () => {
    await fill(log)
    await using _ = await startWorker(log, { groups: { shop: sink() } })
    await applied(log)
    const view = `${table}_cheap`
    for (const statement of [
      `ALTER TABLE ${of(table)} ADD COLUMN label text GENERATED ALWAYS AS (upper(name)) STORED`,
      `ALTER TABLE ${of(table)} ADD CONSTRAINT "price is given" CHECK (price > 0)`,
      `ALTER TABLE ${of(table)} ADD CONSTRAINT "${table}_name_once" UNIQUE (name)`,
      `ALTER TABLE ${of(table)} ALTER COLUMN name SET NOT NULL`,
      `CREATE INDEX "${table}_by price" ON ${of(table)} (price DESC) WHERE price > 1`,
      `COMMENT ON TABLE ${of(table)} IS 'What''s for sale \\ now'`,
      `COMMENT ON COLUMN ${of(table)}.price IS 'in cents'`,
      `COMMENT ON INDEX ${of(`${table}_by price`)} IS 'for the list'`,
      `GRANT SELECT ON ${of(table)} TO headwater_reader`,
      `GRANT UPDATE (price) ON ${of(table)} TO headwater_reader WITH GRANT OPTION`,
      `ALTER TABLE ${of(table)} SET (fillfactor = 80)`,
      `CREATE VIEW ${of(view)} WITH (security_barrier) AS SELECT sku, label FROM ${of(table)} WHERE price < 3`,
      `GRANT SELECT ON ${of(view)} TO headwater_reader`,
    ])
      await pool.query(statement)
    const before = await indexesOf(table)

    expect(await rebuild(log, sink(), { group: 'shop' })).toMatchObject({ version: 2, switched: true })
    await log.append(products.put({ sku: 'shelf', name: 'shelf', price: 2 }))
    await applied(log)
    expect(await verify(log, sink(), { group: 'shop', deep: true })).toMatchObject({
      result: 'equal',
      checked: 4,
    })
    expect(await column(`SELECT label FROM ${of(view)} ORDER BY 1`)).toEqual(['DESK', 'LAMP', 'SHELF'])
    expect(await column(`SELECT reloptions FROM pg_class WHERE relname = $1`, [view])).toEqual([
      ['security_barrier=true'],
    ])
    expect(await indexesOf(table)).toEqual(before)
    expect(await indexesOf(`${table}_v1`)).toEqual(before.map((name) => `${name}_v1`).toSorted())
    const oid = `${of(table)}::regclass`.replace(of(table), `'${of(table)}'`)
    expect(await column(`SELECT obj_description(${oid}, 'pg_class')`)).toEqual([`What's for sale \\ now`])
    expect(await column(`SELECT reloptions FROM pg_class WHERE oid = ${oid}`)).toEqual([['fillfactor=80']])
    const mayRead = `SELECT has_table_privilege('headwater_reader', ${oid}, 'SELECT')
      AND has_column_privilege('headwater_reader', ${oid}, 'price', 'UPDATE WITH GRANT OPTION')`
    expect(await column(mayRead)).toEqual([true])
    await expect(pool.query(`UPDATE ${of(table)} SET price = 0`)).rejects.toMatchObject({
      constraint: 'price is given',
    })
    await expect(pool.query(`UPDATE ${of(table)} SET name = 'lamp'`)).rejects.toMatchObject({
      constraint: `${table}_name_once`,
    })
    await expect(pool.query(`UPDATE ${of(table)} SET name = NULL`)).rejects.toMatchObject({ column: 'name' })
    // The old version stands as it was, until it is dropped.
    expect(await column(`SELECT count(*)::int FROM ${of(`${table}_v1`)}`)).toEqual([3])
    await sink().versions!.drop(1)
    expect(await column(`SELECT to_regclass('${of(`${table}_v1`)}')`)).toEqual([null])
  })

  it('may have other columns than the old one had: workers of the new definition go on when it is there', async () => {
    await fill(log)
    {
      await using _ = await startWorker(log, { groups: { shop: sink() } })
      await applied(log)
    }
    const next = sink('numeric')
    await expect(next.prepare!()).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' })
    expect(await rebuild(log, next, { group: 'shop' })).toMatchObject({ switched: true })
    await using _ = await startWorker(log, { groups: { shop: next } })
    await log.append(products.put({ sku: 'shelf', name: 'shelf', price: 2 }))
    await applied(log)
    expect(await column(`SELECT pg_typeof(price)::text FROM ${of(table)} LIMIT 1`)).toEqual(['numeric'])
    expect(await verify(log, next, { group: 'shop', deep: true })).toMatchObject({
      result: 'equal',
      checked: 4,
    })
  })

  it.each([
    [
      'a trigger',
      (name: string) =>
        `CREATE TRIGGER watch AFTER INSERT ON ${of(name)} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
      /trigger watch/,
    ],
    [
      'row level security',
      (name: string) => `ALTER TABLE ${of(name)} ENABLE ROW LEVEL SECURITY`,
      /row level security/,
    ],
    [
      'a foreign key of another table',
      (name: string) => `CREATE TABLE ${of(`${name}_orders`)} (sku text COLLATE "C" REFERENCES ${of(name)})`,
      /foreign key/,
    ],
  ])('is refused beside %s, which would be lost', async (_what, statement, said) => {
    await fill(log)
    await using _ = await startWorker(log, { groups: { shop: sink() } })
    await applied(log)
    await pool.query(statement(table).replace('AFTER INSERT', 'BEFORE UPDATE'))
    await expect(rebuild(log, sink(), { group: 'shop' })).rejects.toThrow(said)
    expect(await sink().versions!.list()).toMatchObject({ current: 1 })
  })

  it('waits for those who read the old one, and lets others pass meanwhile', async () => {
    await fill(log)
    await using _ = await startWorker(log, { groups: { shop: sink() } })
    await applied(log)
    const reader = await pool.connect()
    await reader.query('BEGIN')
    await reader.query(`SELECT * FROM ${of(table)}`)
    let isSwitched = false
    let tries = 0
    const rebuilding = rebuild(log, sink(), {
      group: 'shop',
      onProgress: ({ phase }) => (tries += phase === 'switching' ? 1 : 0),
    }).then((report) => (isSwitched = report.switched))
    await expect.poll(() => tries, { timeout: 20_000 }).toBeGreaterThan(1)
    expect(isSwitched).toBe(false)
    // Between two tries it is as before: the workers go on.
    await log.append(products.put({ sku: 'lamp', name: 'lamp', price: 7 }))
    expect(await column(`SELECT count(*)::int FROM ${of(table)}`)).toEqual([3])
    await reader.query('COMMIT')
    reader.release()
    await rebuilding
    await applied(log)
    expect(await column(`SELECT price::int FROM ${of(table)} WHERE sku = 'lamp'`)).toEqual([7])
  })
})
