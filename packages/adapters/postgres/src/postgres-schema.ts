import { HeadwaterError } from '@headwater/core'
import { sqlTypeName } from './column-type.ts'
import { checkIdentifier, quote } from './identifier.ts'
import { inTransaction, query, type PostgresClient } from './postgres-client.ts'
import type { LayoutColumn } from './row-layout.ts'
import { createTable, missingTables, type Table, type TableColumn } from './table.ts'

export interface TargetOptions {
  readonly schema: string
  readonly table: string
  /** Before the names of our columns and side tables. */
  readonly prefix: string
  readonly keyColumn: string
  readonly columns: readonly LayoutColumn[]
  /** Default: the table's name, which is that of its first version. */
  readonly books?: string
}

/** The tables of a sink: the user's, and beside it in the same schema those that all sinks there share. */
export interface Target {
  readonly schema: string
  readonly table: string
  /** Under which name the side tables keep the books of this version of the table. */
  readonly books: string
  readonly keyColumn: string
  readonly columns: readonly LayoutColumn[]
  /** Our columns in the user's table. */
  readonly own: OwnColumns
  /** Names as they stand in SQL: quoted, with the schema. */
  readonly sql: {
    readonly table: string
    readonly partitions: string
    readonly tombstones: string
    readonly versions: string
  }
  /** The tables as they must be, in the order in which they are made. */
  readonly tables: readonly Table[]
}

interface OwnColumns {
  readonly epoch: string
  readonly sequence: string
  readonly hash: string
  readonly partition: string
  readonly bucket: string
}

/** @throws HeadwaterError OPTION_INVALID when a name cannot be used, or is used twice */
export function targetOf(options: TargetOptions): Target {
  const { schema, table, prefix, keyColumn, columns, books = table } = options
  const [partitions, tombstones, versions] = [
    `${prefix}partitions`,
    `${prefix}tombstones`,
    `${prefix}versions`,
  ]
  checkIdentifier(schema, 'The schema', 'rename it')
  checkIdentifier(table, 'The table', 'choose another name')
  checkIdentifier(tombstones, 'The side table', 'choose a shorter prefix')
  if (table === partitions || table === tombstones || table === versions) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `The table "${table}" is a side table of the sink: choose another name.`,
    )
  }
  const own: OwnColumns = {
    epoch: `${prefix}epoch`,
    sequence: `${prefix}sequence`,
    hash: `${prefix}hash`,
    partition: `${prefix}partition`,
    bucket: `${prefix}bucket`,
  }
  checkDistinct([keyColumn, ...columns.map(({ name }) => name), ...Object.values({ ...own })])
  return {
    schema,
    table,
    books,
    keyColumn,
    columns,
    own,
    sql: {
      table: `${quote(schema)}.${quote(table)}`,
      partitions: `${quote(schema)}.${quote(partitions)}`,
      tombstones: `${quote(schema)}.${quote(tombstones)}`,
      versions: `${quote(schema)}.${quote(versions)}`,
    },
    tables: [mainTable(options, own), partitionsTable(partitions), tombstonesTable(tombstones)],
  }
}

/** The columns of the values take NULL: what a value must have is for the log to say, which checked it. */
function mainTable({ table, keyColumn, columns }: TargetOptions, own: OwnColumns): Table {
  return {
    name: table,
    columns: [
      textKey(keyColumn),
      ...columns.map(({ name, type }) => ({ name, type: sqlTypeName(type) })),
      ours(own.epoch, 'bigint', 0),
      ours(own.sequence, 'bigint', 0),
      ours(own.hash, 'bigint', 0),
      ours(own.partition, 'smallint', -1),
      ours(own.bucket, 'smallint', -1),
    ],
    primaryKey: [keyColumn],
  }
}

/**
 * Fence and position of each group's partitions. `turn` counts the batches, by which a batch sees that it was overtaken
 * (see the apply statement), and a worker that the server has lost some.
 */
function partitionsTable(name: string): Table {
  return {
    name,
    columns: [
      textKey('target'),
      { name: 'partition', type: 'smallint' },
      textKey('group'),
      { name: 'lineage', type: 'text', constraints: 'NOT NULL' },
      { name: 'fence_epoch', type: 'bigint', constraints: 'NOT NULL' },
      { name: 'fence_token', type: 'bigint', constraints: 'NOT NULL' },
      { name: 'fence_owner', type: 'text', constraints: 'NOT NULL' },
      { name: 'turn', type: 'bigint', constraints: 'NOT NULL DEFAULT 0' },
      { name: 'epoch', type: 'bigint' },
      { name: 'sequence', type: 'bigint' },
      { name: 'branch', type: 'text' },
    ],
    primaryKey: ['target', 'partition', 'group'],
  }
}

/** The stamps of deleted keys. A key has a row or a tombstone, never both. */
function tombstonesTable(name: string): Table {
  return {
    name,
    columns: [
      textKey('target'),
      textKey('key'),
      { name: 'epoch', type: 'bigint', constraints: 'NOT NULL' },
      { name: 'sequence', type: 'bigint', constraints: 'NOT NULL' },
      { name: 'partition', type: 'smallint', constraints: 'NOT NULL' },
    ],
    primaryKey: ['target', 'key'],
  }
}

/** Sorted by bytes: the same in every database, and not by rules of a language, which an upgrade may change. */
function textKey(name: string): TableColumn {
  return { name, type: 'text', collation: 'C' }
}

/** A row that somebody else inserts is older than everything, so that every change of its key replaces it. */
function ours(name: string, type: string, unknown: number): TableColumn {
  return { name, type, constraints: `NOT NULL DEFAULT ${unknown}` }
}

function checkDistinct(names: readonly string[]): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice === undefined) return
  throw new HeadwaterError(
    'OPTION_INVALID',
    `The table would have two columns "${twice}": rename one in \`columns\`, \`keyColumn\` or \`prefix\`.`,
  )
}

/**
 * Creates what is missing, where `create` says so, and checks what is there. Any number of workers may do so at once.
 *
 * @throws HeadwaterError SINK_MISCONFIGURED with the SQL that mends it
 */
export async function prepareTarget(client: PostgresClient, target: Target, create: boolean): Promise<void> {
  await checkEncoding(client)
  // Most of the time all is there, and then no lock is taken and no right to create is needed.
  const missing = await missingTables(client, target.schema, target.tables)
  if (missing.length === 0) return
  if (!create) {
    const sql = missing.map((table) => createTable(target.schema, table)).join('; ')
    throw new HeadwaterError(
      'SINK_MISCONFIGURED',
      `Schema "${target.schema}" lacks tables, and the sink was told to create none. Run: ${sql};`,
    )
  }
  await inTransaction(client, () => createMissing(client, target))
}

/** In other encodings Postgres refuses texts that a log takes, or keeps bytes without knowing what they mean. */
async function checkEncoding(client: PostgresClient): Promise<void> {
  const rows = await query(client, `SELECT current_setting('server_encoding') AS encoding`)
  const encoding = rows[0]?.['encoding']
  if (encoding === 'UTF8') return
  throw new HeadwaterError(
    'SINK_MISCONFIGURED',
    `The database is encoded in ${encoding}, which cannot hold every text: use one that was created with ENCODING 'UTF8'.`,
  )
}

/**
 * Checks that the tables are still as the sink needs them.
 *
 * @throws HeadwaterError SINK_MISCONFIGURED with the SQL that mends it
 */
export async function checkTarget(client: PostgresClient, { schema, tables }: Target): Promise<void> {
  await missingTables(client, schema, tables)
}

async function createMissing(client: PostgresClient, target: Target): Promise<void> {
  await lock(client, target.sql.partitions)
  await createSchema(client, target.schema)
  const missing = await missingTables(client, target.schema, target.tables)
  for (const table of missing) await query(client, createTable(target.schema, table))
  if (!missing.some(({ name }) => name === target.table)) return
  // The books of a table that was dropped would say of the new one that it holds everything.
  for (const books of [target.sql.partitions, target.sql.tombstones]) {
    await query(client, `DELETE FROM ${books} WHERE target = $1`, [target.books])
  }
}

/** Asks first: CREATE SCHEMA IF NOT EXISTS wants the right to create one also where it exists. */
async function createSchema(client: PostgresClient, schema: string): Promise<void> {
  const rows = await query(client, `SELECT FROM pg_namespace WHERE nspname = $1`, [schema])
  if (rows.length === 0) await query(client, `CREATE SCHEMA ${quote(schema)}`)
}

/** Until the transaction ends, nobody else holds the lock of this name. */
export async function lock(client: PostgresClient, name: string): Promise<void> {
  await query(client, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, [`headwater ${name}`])
}
