import { createHash } from 'node:crypto'
import { canonicalJson, type Node, type Versions } from '@headwater/core'
import { checkIdentifier, quote } from './identifier.ts'
import {
  query,
  surviveIdleErrors,
  withClient,
  type PostgresClient,
  type PostgresPool,
} from './postgres-client.ts'
import { postgresError } from './postgres-error.ts'

/** Rows a page of `list`. */
const pageRows = 5_000

export interface PostgresNodeOptions {
  /** As the weights of the set know it. */
  readonly name: string
  /** The `Pool` of `pg`. Never closed by us. */
  readonly pool: PostgresPool
  /** Holds the versions: key, canonical JSON, mark. `prepare` makes it where it does not exist. */
  readonly table: string
  /** Default `public`. */
  readonly schema?: string
  /** How long one call may take, in ms. Default 30,000. */
  readonly timeoutMs?: number
}

export interface PostgresNode extends Node {
  /** Creates the table where it does not exist. */
  prepare(): Promise<void>
}

/**
 * A Postgres table as a node of a set: each write is one statement that compares and sets.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export function postgresNode(options: PostgresNodeOptions): PostgresNode {
  const { name, pool, table, schema = 'public', timeoutMs = 30_000 } = options
  checkIdentifier(schema, 'The schema', 'rename it')
  checkIdentifier(table, 'The table', 'choose another name')
  const at = `${quote(schema)}.${quote(table)}`
  surviveIdleErrors(pool)

  async function call<R>(work: (client: PostgresClient) => Promise<R>): Promise<R> {
    try {
      return await withClient(pool, { sinkName: `node ${name}`, timeoutMs }, work)
    } catch (error) {
      throw postgresError(`node ${name}`, error)
    }
  }

  return {
    name,
    async prepare() {
      const columns = 'key text COLLATE "C" PRIMARY KEY, versions text NOT NULL, mark text NOT NULL'
      await call((client) => query(client, `CREATE TABLE IF NOT EXISTS ${at} (${columns})`))
    },
    async *list() {
      const text = `SELECT key, mark FROM ${at} WHERE key > $1 ORDER BY key LIMIT ${pageRows}`
      let after = ''
      for (;;) {
        const values = [after]
        const rows = await call((client) => query(client, text, values))
        for (const { key, mark } of rows) yield { key: key!, mark: mark! }
        if (rows.length < pageRows) return
        after = rows.at(-1)!['key']!
      }
    },
    async read(keys) {
      const text = `SELECT n.versions, n.mark FROM unnest($1::text[]) WITH ORDINALITY AS i (key, place)
        LEFT JOIN ${at} AS n ON n.key = i.key ORDER BY i.place`
      const rows = await call((client) => query(client, text, [keys]))
      return rows.map(({ versions, mark }) =>
        versions && mark ? { versions: JSON.parse(versions) as Versions<unknown>, mark } : undefined,
      )
    },
    async write(key, mark, versions) {
      const json = canonicalJson(versions)
      const text =
        mark === undefined
          ? `INSERT INTO ${at} (key, versions, mark) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING key`
          : `UPDATE ${at} SET versions = $2, mark = $3 WHERE key = $1 AND mark = $4 RETURNING key`
      const values = [key, json, markOf(json), ...(mark === undefined ? [] : [mark])]
      const rows = await call((client) => query(client, text, values))
      return rows.length === 1 ? 'written' : 'changed'
    },
  }
}

/** The same as that of every other kind of node. */
function markOf(json: string): string {
  return createHash('sha1').update(json).digest('hex')
}
