import { HeadwaterError } from '@headwater/core'
import { quote } from './identifier.ts'
import { query, type PostgresClient } from './postgres-client.ts'

/** A table as it must be. */
export interface Table {
  readonly name: string
  readonly columns: readonly TableColumn[]
  readonly primaryKey: readonly string[]
}

export interface TableColumn {
  readonly name: string
  /** As `format_type` writes it. */
  readonly type: string
  /** What stands behind the type in CREATE TABLE. */
  readonly constraints?: string
  /** Where not given, any will do. */
  readonly collation?: string
}

export function createTable(schema: string, { name, columns, primaryKey }: Table): string {
  const parts = [...columns.map(definition), `PRIMARY KEY (${primaryKey.map(quote).join(', ')})`]
  return `CREATE TABLE ${quote(schema)}.${quote(name)} (${parts.join(', ')})`
}

/**
 * Which of these tables do not exist.
 *
 * @throws HeadwaterError SINK_MISCONFIGURED when one exists and cannot be used, with the SQL that mends it
 */
export async function missingTables(
  client: PostgresClient,
  schema: string,
  tables: readonly Table[],
): Promise<readonly Table[]> {
  const found = await findTables(client, schema, tables)
  for (const table of tables) {
    const held = found.get(table.name)
    if (held) checkTable(schema, table, held)
  }
  return tables.filter(({ name }) => !found.has(name))
}

interface FoundTable {
  readonly isTable: boolean
  readonly columns: ReadonlyMap<string, FoundColumn>
  /** The columns of each unique index, sorted, as one text. */
  readonly uniques: readonly string[]
}

interface FoundColumn {
  readonly type: string
  readonly collation: string | null
  readonly mustBeGiven: boolean
}

const findSql = `
SELECT c.relname AS table, c.relkind IN ('r', 'p') AS is_table,
  (SELECT json_agg(json_build_object(
      'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'collation', l.collname,
      'mustBeGiven', a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''))
    FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
  (SELECT json_agg((SELECT json_agg(a.attname ORDER BY a.attname)
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])))
    FROM pg_index i
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL) AS uniques
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = ANY ($2)`

async function findTables(
  client: PostgresClient,
  schema: string,
  tables: readonly Table[],
): Promise<ReadonlyMap<string, FoundTable>> {
  const values = [schema, tables.map(({ name }) => name)]
  const rows = await query(client, findSql, values)
  return new Map(
    rows.map(({ table, is_table, columns, uniques }) => {
      const found = JSON.parse(columns ?? '[]') as (FoundColumn & { name: string })[]
      return [
        table ?? '',
        {
          isTable: is_table === 't',
          columns: new Map(found.map((column) => [column.name, column])),
          uniques: (JSON.parse(uniques ?? '[]') as string[][]).map(String),
        },
      ]
    }),
  )
}

function checkTable(schema: string, table: Table, found: FoundTable): void {
  const name = `${quote(schema)}.${quote(table.name)}`
  if (!found.isTable) {
    throw new HeadwaterError(
      'SINK_MISCONFIGURED',
      `${name} is no table, but a view or the like: choose another name.`,
    )
  }
  const actions = [...alterations(table, found)]
  if (actions.length === 0) return
  throw new HeadwaterError(
    'SINK_MISCONFIGURED',
    `Table ${name} does not have what the sink needs. Use another table, or run: ALTER TABLE ${name} ${actions.join(', ')};`,
  )
}

function* alterations(table: Table, found: FoundTable): Generator<string> {
  for (const column of table.columns) {
    const held = found.columns.get(column.name)
    if (!held) {
      yield `ADD COLUMN ${definition(column)}`
    } else if (held.type !== column.type || (column.collation && held.collation !== column.collation)) {
      yield `ALTER COLUMN ${quote(column.name)} TYPE ${typeOf(column)}`
    }
  }
  if (!found.uniques.includes(String([...table.primaryKey].sort()))) {
    yield `ADD UNIQUE (${table.primaryKey.map(quote).join(', ')})`
  }
  const ours = new Set(table.columns.map((column) => column.name))
  for (const [name, { mustBeGiven }] of found.columns) {
    if (mustBeGiven && !ours.has(name)) yield `ALTER COLUMN ${quote(name)} DROP NOT NULL`
  }
}

function definition(column: TableColumn): string {
  const { name, constraints } = column
  return [quote(name), typeOf(column), constraints].filter(Boolean).join(' ')
}

function typeOf({ type, collation }: TableColumn): string {
  return collation ? `${type} COLLATE ${quote(collation)}` : type
}
