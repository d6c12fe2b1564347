import { randomUUID } from 'node:crypto'
import { sinkConformance, type SinkHarness } from '@headwater/conformance'
import { startPostgres, type PostgresServer } from '@headwater/local-servers'
import { postgresSink } from '@headwater/postgres'
import { Pool, type PoolConfig } from 'pg'
import { afterAll, beforeAll } from 'vitest'
import { startPostgresLink, type PostgresLink } from '../support/postgres-link.ts'

let server: PostgresServer

beforeAll(async () => {
  server = await startPostgres()
})

afterAll(async () => {
  await server.stop()
})

type Layout = 'columns' | 'jsonb'

sinkConformance('postgres columns', harness('columns'))
sinkConformance('postgres jsonb', harness('jsonb'))

function harness(layout: Layout): SinkHarness {
  return {
    supports: {
      transactions: true,
      list: true,
      read: true,
      replace: true,
      digest: true,
      snapshot: true,
      nul: false,
    },
    absentAsNull: layout === 'columns',
    ...(layout === 'columns' && { poison: (book) => ({ ...book, pages: 0.5 }) }),
    async open(collection) {
      const { schema } = server
      const table = `books_${randomUUID()}`
      const pools: Pool[] = []
      const links: PostgresLink[] = []
      const connect = (connection: PoolConfig) => {
        // One connection is enough for a sink, whatever it has to do.
        const pool = new Pool({ ...connection, max: 1 })
        pools.push(pool)
        return pool
      }
      const sinkOf = (pool: Pool) => postgresSink({ pool, collection, schema, table, layout })
      const ours = connect(server.connection)
      return {
        sink: sinkOf(ours),
        another: async () => sinkOf(connect(server.connection)),
        async faulty() {
          const link = await startPostgresLink(server)
          links.push(link)
          return { sink: sinkOf(connect(link.connection)), link: link.proxy }
        },
        dump: () => dump(ours, `"${schema}"."${table}"`, layout),
        async close() {
          await ours.query(`DROP TABLE "${schema}"."${table}"`)
          await Promise.all(pools.map((pool) => pool.end()))
          await Promise.all(links.map(({ proxy }) => proxy.stop()))
        },
      }
    },
  }
}

async function dump(pool: Pool, table: string, layout: Layout): Promise<Map<string, unknown>> {
  const content =
    layout === 'jsonb'
      ? 'value'
      : `to_jsonb(t) - '{key,hw_epoch,hw_sequence,hw_hash,hw_partition,hw_bucket,hw_rest}'::text[]`
  const { rows } = await pool.query<{ key: string; content: unknown }>(
    `SELECT key, ${content} AS content FROM ${table} AS t`,
  )
  return new Map(rows.map(({ key, content }) => [key, content]))
}
