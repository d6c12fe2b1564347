import { randomUUID } from 'node:crypto'
import { aBook, books } from '@headwater/conformance'
import { startPostgres, type OwnPostgresServer } from '@headwater/local-servers'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apply, errorOf, openReplica, remedyOf, replica, words } from './replica.ts'

let server: OwnPostgresServer
let pool: Pool

beforeAll(async () => {
  server = await startPostgres({ own: true })
  pool = new Pool(server.connection)
})

afterAll(async () => {
  await pool.end()
  await server.stop()
})

/** A schema that does not exist yet. */
function newSchema(): string {
  return `schema ${randomUUID()}`
}

describe('prepare', () => {
  it('makes schema and tables once, however many workers begin at the same moment', async () => {
    const schema = newSchema()
    const { sink, another, open, log } = replica(pool, books, { schema })
    const sinks = [sink, ...Array.from({ length: 9 }, () => another())]
    await Promise.all(sinks.map(async (one) => one.prepare?.()))
    const { rows } = await pool.query(
      'SELECT relname FROM pg_class WHERE relkind = $1 AND relnamespace = $2::regnamespace',
      ['r', `"${schema}"`],
    )
    expect(rows).toHaveLength(3)
    expect(words(await apply(await open(), [log.put(aBook('atlas'))]))).toEqual(['applied'])
  })

  it('needs no right to create anything where everything is there', async () => {
    const schema = newSchema()
    const { another, open, log } = await openReplica(pool, books, { schema })
    const role = `writer_${randomUUID().replaceAll('-', '')}`
    await pool.query(`CREATE ROLE ${role} LOGIN; GRANT USAGE ON SCHEMA "${schema}" TO ${role}`)
    await pool.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "${schema}" TO ${role}`)
    const writers = new Pool({ ...server.connection, user: role })
    try {
      const sink = another({ pool: writers })
      await sink.prepare?.()
      expect(words(await apply(await open({ sink }), [log.put(aBook('atlas'))]))).toEqual(['applied'])
    } finally {
      await writers.end()
    }
  })

  it('creates nothing when told so, and says what to run', async () => {
    const schema = newSchema()
    await pool.query(`CREATE SCHEMA "${schema}"`)
    const { sink, open, log } = replica(pool, books, { schema, create: false })
    const error = await errorOf(sink.prepare?.())
    expect(error).toMatchObject({ code: 'SINK_MISCONFIGURED' })
    await pool.query(remedyOf(error))
    await sink.prepare?.()
    expect(words(await apply(await open(), [log.put(aBook('atlas'))]))).toEqual(['applied'])
  })

  it.each([
    ['it has columns of its own only', 'id serial PRIMARY KEY, label text'],
    ['its key is sorted by language', 'key text COLLATE "und-x-icu" PRIMARY KEY'],
    ['its key may occur twice', 'key text'],
    ['its types are others', 'key varchar(10) PRIMARY KEY, title varchar(10), pages integer'],
    ['it wants what we do not give', 'key text PRIMARY KEY, shelf text NOT NULL'],
  ])('refuses a table that was there before, and says what to run: %s', async (_what, definition) => {
    const schema = newSchema()
    const { sink, open, log, table, look } = replica(pool, books, { schema })
    await pool.query(`CREATE SCHEMA "${schema}"; CREATE TABLE "${schema}"."${table}" (${definition})`)
    const error = await errorOf(sink.prepare?.())
    expect(error).toMatchObject({ code: 'SINK_MISCONFIGURED' })
    expect(error.message).toContain(`ALTER TABLE "${schema}"."${table}"`)
    await pool.query(remedyOf(error))
    await sink.prepare?.()
    expect(words(await apply(await open(), [log.put(aBook('atlas'))]))).toEqual(['applied'])
    expect((await look('atlas'))?.value).toEqual(aBook('atlas'))
  })

  it('takes over the rows of a table that was there before: they are older than everything', async () => {
    const schema = newSchema()
    const { sink, open, log, table, look } = replica(pool, books, { schema, layout: 'jsonb' })
    await pool.query(
      `CREATE SCHEMA "${schema}"; CREATE TABLE "${schema}"."${table}" (key text COLLATE "C" PRIMARY KEY, value jsonb)`,
    )
    await pool.query(`INSERT INTO "${schema}"."${table}" VALUES ('atlas', '{}'), ('other', '{}')`)
    await pool.query(remedyOf(await errorOf(sink.prepare?.())))
    await sink.prepare?.()
    expect(words(await apply(await open(), [log.put(aBook('atlas'))]))).toEqual(['applied'])
    expect(await look('atlas')).toMatchObject({ stamp: { epoch: 1, sequence: 1 }, value: aBook('atlas') })
    expect(await look('other')).toMatchObject({ stamp: { epoch: 0, sequence: 0 }, hash: 0n, value: {} })
  })

  it('refuses a view', async () => {
    const { sink, table } = replica(pool, books)
    await pool.query(`CREATE VIEW "${table}" AS SELECT 'x' AS key`)
    const error = await errorOf(sink.prepare?.())
    expect(error.message).toMatch(/is no table, .* \[SINK_MISCONFIGURED\]/)
  })

  it('refuses a database that cannot hold every text', async () => {
    await pool.query(
      `CREATE DATABASE western ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`,
    )
    const western = new Pool({ ...server.connection, database: 'western' })
    try {
      const error = await errorOf(replica(western, books).sink.prepare?.())
      expect(error.message).toMatch(/encoded in LATIN1, .* \[SINK_MISCONFIGURED\]/)
    } finally {
      await western.end()
    }
  })

  it('fills a partitioned table as well', async () => {
    const schema = newSchema()
    const { sink, open, log, table, look } = replica(pool, books, { schema, layout: 'jsonb' })
    await pool.query(
      `CREATE SCHEMA "${schema}"; CREATE TABLE "${schema}"."${table}" (key text COLLATE "C" PRIMARY KEY, value jsonb) PARTITION BY HASH (key)`,
    )
    await pool.query(
      `CREATE TABLE "${schema}".half PARTITION OF "${schema}"."${table}" FOR VALUES WITH (MODULUS 2, REMAINDER 0)`,
    )
    await pool.query(
      `CREATE TABLE "${schema}".rest PARTITION OF "${schema}"."${table}" FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
    )
    await pool.query(remedyOf(await errorOf(sink.prepare?.())))
    await sink.prepare?.()
    const changes = ['a', 'b', 'c', 'd'].map((key) => log.put(aBook(key)))
    const partition = await open()
    expect(words(await apply(partition, changes))).toEqual(changes.map(() => 'applied'))
    expect(words(await apply(partition, [log.delete('a'), changes[1]!]))).toEqual(['applied', 'stale'])
    expect(await look('a')).toMatchObject({ deleted: true })
  })
})

describe('several tables in one schema', () => {
  it('share the side tables and nothing else', async () => {
    const schema = newSchema()
    const [left, right] = [
      await openReplica(pool, books, { schema }),
      await openReplica(pool, books, { schema }),
    ]
    const [put, deletion] = [left.log.put(aBook('atlas')), left.log.delete('atlas')]
    await apply(left.partition, [put], { position: { epoch: 1, sequence: 1, branch: 'a' } })
    await apply(left.partition, [deletion])
    expect(words(await apply(right.partition, [put]))).toEqual(['applied'])
    expect(await left.look('atlas')).toMatchObject({ deleted: true })
    expect(await right.look('atlas')).toMatchObject({ deleted: false })
    expect((await right.open()).position).toEqual({ epoch: 0, sequence: 0, branch: '' })
    const listed = []
    for await (const { key, deleted } of right.sink.list?.() ?? []) listed.push([key, deleted])
    expect(listed).toEqual([['atlas', false]])
  })
})

describe('the statement that applies a batch', () => {
  it('keeps its plan, also where no batch has a delete', async () => {
    const one = new Pool({ ...server.connection, max: 1 })
    try {
      const { log, table, open, another } = await openReplica(pool, books)
      const batches = Array.from({ length: 20 }, (_, round) =>
        Array.from({ length: 500 }, (_, index) => log.put(aBook(`book-${round}-${index}`))),
      )
      for (const batch of batches) await apply(await open(), batch)
      await pool.query(`ANALYZE "${table}"`)
      const again = await open({ sink: another({ pool: one }) })
      for (const batch of batches) await apply(again, batch.slice(0, 100))
      // What Postgres tries before it compares.
      const { rows } = await one.query(
        `SELECT custom_plans FROM pg_prepared_statements WHERE name LIKE 'headwater%'`,
      )
      expect(rows).toEqual([{ custom_plans: '5' }])
    } finally {
      await one.end()
    }
  })

  it('is one round trip for each batch', async () => {
    const { log, partition, another, open } = await openReplica(pool, books)
    const sent: string[] = []
    const counting = {
      connect: async () => {
        const client = await pool.connect()
        return {
          query: (query: { text: string }) => {
            sent.push(query.text.slice(0, 30))
            return client.query(query)
          },
          release: (broken?: boolean) => client.release(broken),
          on: () => {},
          off: () => {},
        }
      },
      on: () => {},
      listenerCount: () => 1,
    }
    const counted = await open({ sink: another({ pool: counting }) })
    sent.length = 0
    await apply(counted, [log.put(aBook('atlas')), log.delete('novel')])
    await apply(counted, [log.put(aBook('poems')), log.put(aBook('atlas'))])
    expect(sent).toEqual([sent[0], sent[0]])
    await partition.close()
  })
})
