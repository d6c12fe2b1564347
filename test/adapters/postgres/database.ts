import { startPostgres, type PostgresServer } from '@headwater/local-servers'
import { Pool } from 'pg'
import { afterAll, beforeAll } from 'vitest'

// A database: each file of tests has its own pool of it, and its own schema.

export let server: PostgresServer
export let pool: Pool
export let schema: string

/** Opens them for all tests of the file. */
export function openDatabase(): void {
  beforeAll(async () => {
    server = await startPostgres()
    schema = server.schema
    pool = new Pool(server.connection)
  })
  afterAll(async () => {
    await pool.end()
    await server.stop()
  })
}
