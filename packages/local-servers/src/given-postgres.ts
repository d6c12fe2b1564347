import { randomUUID } from 'node:crypto'
import { keeperLink } from './keeper-link.ts'
import { LocalServerError } from './local-server-error.ts'
import type { PostgresServer } from './postgres.ts'

/** Works on a server that is not ours, in a schema of our own. */
export async function useGivenPostgres(givenUrl: string): Promise<PostgresServer> {
  const schema = `local_${randomUUID().replaceAll('-', '')}`
  const keeper = await keeperLink()
  await keeper.borrow({ what: 'postgres schema', url: givenUrl, name: schema })
  await execute(givenUrl, `CREATE SCHEMA ${schema}`)
  const url = withSearchPath(givenUrl, schema)
  let stopped: Promise<void> | undefined
  const stop = () => (stopped ??= dropSchema(givenUrl, schema).then(() => keeper.giveBack(schema)))
  return {
    own: false,
    connection: { connectionString: url },
    url,
    schema,
    kill: refuse,
    restart: refuse,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** Drops a schema and all that is in it. */
export function dropSchema(url: string, schema: string): Promise<void> {
  return execute(url, `DROP SCHEMA IF EXISTS ${schema} CASCADE`)
}

async function execute(url: string, statement: string): Promise<void> {
  const { Client } = await import('pg')
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

function withSearchPath(url: string, schema: string): string {
  const option = `options=${encodeURIComponent(`-c search_path=${schema}`)}`
  return `${url}${url.includes('?') ? '&' : '?'}${option}`
}

async function refuse(): Promise<never> {
  throw new LocalServerError(
    'NOT_OURS',
    'The server of DATABASE_URL takes no signals from here. Ask for a server of our own: startPostgres({ own: true }).',
  )
}
