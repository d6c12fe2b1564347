import {
  HeadwaterError,
  type SinkVersions,
  type Sink,
  type SwitchRight,
  type VersionList,
} from '@headwater/core'
import { quote } from './identifier.ts'
import { inTransaction, query, type PostgresClient } from './postgres-client.ts'
import { lock, prepareTarget, type Target } from './postgres-schema.ts'
import { createTable, missingTables, type Table } from './table.ts'
import { indexNames, makeAlike, refuseWhatCannotFollow, versionedName, viewsOver } from './table-likeness.ts'

/** How long the switch waits for those who read the table, before it lets others go first and is tried again. */
const lockTimeout = '2s'
/** Greater than every fence of a log. */
const lastEpoch = Number.MAX_SAFE_INTEGER

export interface PostgresVersionsOptions<T> {
  readonly sinkName: string
  /** The table that readers see, with the books of its first version. */
  readonly first: Target
  /** The table of a version that readers do not see, and its books. */
  readonly targetOf: (table: string, books: string) => Target
  readonly call: <R>(work: (client: PostgresClient) => Promise<R>) => Promise<R>
  readonly sinkOn: (target: Target, prepare: () => Promise<void>) => Sink<T>
}

/**
 * Versions of a table beside each other: `products` is what readers see, `products_v2` is being built or has been replaced.
 * They change names in one transaction, with their indexes, and views over the table are made again over the new one.
 */
export class PostgresVersions<T> implements SinkVersions<T> {
  readonly #options: PostgresVersionsOptions<T>

  constructor(options: PostgresVersionsOptions<T>) {
    this.#options = options
  }

  /** What readers see: the table, and whichever books belong to it by now. */
  async present(client: PostgresClient): Promise<Target> {
    return this.#under(await this.#current(client, ''))
  }

  /** Whether readers still see what these books belong to; keeps it so until the transaction ends. */
  async isPresent(client: PostgresClient, { books }: Target): Promise<boolean> {
    return this.#booksOf(await this.#current(client, 'FOR SHARE')) === books
  }

  async list(): Promise<VersionList> {
    return await this.#options.call(async (client) => {
      const current = await this.#current(client, '')
      if (!(await this.#isKept(client))) return { current, others: [] }
      const { first } = this.#options
      const rows = await query(
        client,
        `SELECT version FROM ${first.sql.versions} WHERE target = $1 AND NOT current ORDER BY version`,
        [first.table],
      )
      return { current, others: rows.map(({ version }) => Number(version)) }
    })
  }

  open(version: number): Sink<T> {
    const target = this.#hidden(version)
    return this.#options.sinkOn(target, () =>
      this.#options.call((client) => this.#prepare(client, target, version)),
    )
  }

  async switchTo(version: number, right: SwitchRight): Promise<void> {
    await this.#options.call((client) => inTransaction(client, () => this.#switch(client, version, right)))
  }

  async drop(version: number): Promise<void> {
    const { call, first, sinkName } = this.#options
    await call((client) =>
      inTransaction(client, async () => {
        await lock(client, first.sql.table)
        if ((await this.#current(client, '')) === version) {
          throw new HeadwaterError(
            'OPTION_INVALID',
            `Version ${version} of the ${sinkName} is the one that readers see: it stays.`,
          )
        }
        if (!(await this.#isKept(client))) return
        const { sql, books } = this.#hidden(version)
        await query(client, `DROP TABLE IF EXISTS ${sql.table}`)
        for (const kept of [sql.partitions, sql.tombstones]) {
          await query(client, `DELETE FROM ${kept} WHERE target = $1`, [books])
        }
        await query(client, `DELETE FROM ${sql.versions} WHERE target = $1 AND version = $2`, [
          first.table,
          version,
        ])
      }),
    )
  }

  #booksOf(version: number): string {
    const { table } = this.#options.first
    return version === 1 ? table : `version ${version} of ${table}`
  }

  #under(version: number): Target {
    const { first } = this.#options
    return version === 1 ? first : { ...first, books: this.#booksOf(version) }
  }

  #hidden(version: number): Target {
    const { first, targetOf } = this.#options
    return targetOf(versionedName(first.table, version), this.#booksOf(version))
  }

  async #isKept(client: PostgresClient): Promise<boolean> {
    const { sql } = this.#options.first
    const [row] = await query(client, `SELECT to_regclass($1) IS NOT NULL AS kept`, [sql.versions])
    return row?.['kept'] === 't'
  }

  async #current(client: PostgresClient, hold: '' | 'FOR SHARE' | 'FOR UPDATE'): Promise<number> {
    if (!(await this.#isKept(client))) return 1
    const { first } = this.#options
    const text = `SELECT version FROM ${first.sql.versions} WHERE target = $1 AND current ${hold}`
    const [row] = await query(client, text, [first.table])
    if (row || hold !== 'FOR SHARE') return Number(row?.['version'] ?? 1)
    // Where it waited for a switch, the row is current no longer; where there is none, the table has one version only.
    const [again] = await query(client, text, [first.table])
    return Number(again?.['version'] ?? 1)
  }

  async #prepare(client: PostgresClient, target: Target, version: number): Promise<void> {
    const { first } = this.#options
    await prepareTarget(client, { ...first, tables: first.tables.slice(1) }, true)
    await inTransaction(client, async () => {
      await lock(client, first.sql.table)
      await this.#keep(client, version)
      if ((await missingTables(client, target.schema, target.tables.slice(0, 1))).length === 0) return
      await refuseWhatCannotFollow(client, first.schema, first.table)
      for (const books of [target.sql.partitions, target.sql.tombstones]) {
        await query(client, `DELETE FROM ${books} WHERE target = $1`, [target.books])
      }
      await query(client, 'SET LOCAL search_path = pg_catalog')
      await query(client, createTable(target.schema, target.tables[0]!))
      await makeAlike(client, {
        schema: first.schema,
        from: first.table,
        to: target.table,
        renamed: (name) => versionedName(name, version),
      })
      await this.#renameKey(client, target, version)
    })
  }

  /** The primary key of the new table is to be named after that of the old one, as its other indexes are. */
  async #renameKey(client: PostgresClient, target: Target, version: number): Promise<void> {
    const { first } = this.#options
    const [key] = await primaryKeys(client, first)
    const [made] = await primaryKeys(client, target)
    if (!key || !made || made === versionedName(key, version)) return
    await renameIndex(client, target.schema, made, versionedName(key, version))
  }

  async #keep(client: PostgresClient, version: number): Promise<void> {
    const { first } = this.#options
    const { sql, table } = first
    if (!(await this.#isKept(client))) {
      const name = sql.versions.slice(quote(first.schema).length + 2, -1).replaceAll('""', '"')
      await query(client, createTable(first.schema, versionsTable(name)))
    }
    await query(
      client,
      `INSERT INTO ${sql.versions} (target, version, current)
        SELECT $1, 1, true WHERE NOT EXISTS (SELECT FROM ${sql.versions} WHERE target = $1)`,
      [table],
    )
    await query(
      client,
      `INSERT INTO ${sql.versions} (target, version, current) VALUES ($1, $2, false) ON CONFLICT DO NOTHING`,
      [table, version],
    )
  }

  async #switch(
    client: PostgresClient,
    version: number,
    { group, fences, builtBy }: SwitchRight,
  ): Promise<void> {
    const { first, sinkName } = this.#options
    const { schema, table, sql } = first
    await query(client, `SET LOCAL lock_timeout = '${lockTimeout}'`)
    await query(client, 'SET LOCAL search_path = pg_catalog')
    const present = await this.#current(client, 'FOR UPDATE')
    if (present === version) return
    await lock(client, sql.table)
    // First: whoever applies holds it, and wants the rows of the books next.
    await query(client, `LOCK TABLE ${sql.table} IN ACCESS EXCLUSIVE MODE`)
    const [before, after] = [this.#under(present), this.#hidden(version)]
    const rows = await query(
      client,
      `SELECT * FROM ${sql.partitions} WHERE target = $1 AND "group" = $2 FOR UPDATE`,
      [before.books, group],
    )
    for (const [partition, { epoch, token, owner }] of fences.entries()) {
      const held = rows.find((row) => Number(row['partition']) === partition)
      const isOurs =
        Number(held?.['fence_epoch']) === epoch &&
        Number(held?.['fence_token']) === token &&
        held?.['fence_owner'] === owner
      if (isOurs) continue
      throw new HeadwaterError(
        'SINK_FENCED',
        `The version of the ${sinkName} cannot be switched: partition ${partition} was opened by ${held?.['fence_owner'] ?? 'nobody'} since.`,
      )
    }
    await refuseWhatCannotFollow(client, schema, table)
    const views = await viewsOver(client, schema, table)
    const old = this.#hidden(present)
    const indexes = await indexNames(client, schema, table)
    const built = new Set(await indexNames(client, schema, after.table))
    await query(client, `ALTER TABLE ${sql.table} RENAME TO ${quote(old.table)}`)
    await query(client, `ALTER TABLE ${after.sql.table} RENAME TO ${quote(table)}`)
    for (const name of indexes) {
      await renameIndex(client, schema, name, versionedName(name, present))
      if (built.has(versionedName(name, version))) {
        await renameIndex(client, schema, versionedName(name, version), name)
      }
    }
    for (const view of views) await query(client, view)
    await query(client, `UPDATE ${sql.versions} SET current = version = $2 WHERE target = $1`, [
      table,
      version,
    ])
    await query(client, `UPDATE ${sql.partitions} SET fence_epoch = $2, fence_owner = $3 WHERE target = $1`, [
      before.books,
      lastEpoch,
      `the switch to version ${version}`,
    ])
    await query(client, `DELETE FROM ${sql.partitions} WHERE target = $1 AND "group" = $2`, [
      after.books,
      builtBy,
    ])
  }
}

async function primaryKeys(client: PostgresClient, { schema, table }: Target): Promise<readonly string[]> {
  const rows = await query(
    client,
    `SELECT conname AS name FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND contype = 'p'`,
    [schema, table],
  )
  return rows.map(({ name }) => name!)
}

async function renameIndex(client: PostgresClient, schema: string, from: string, to: string): Promise<void> {
  await query(client, `ALTER INDEX ${quote(schema)}.${quote(from)} RENAME TO ${quote(to)}`)
}

/** Which version of a table readers see, of those that there are. */
function versionsTable(name: string): Table {
  return {
    name,
    columns: [
      { name: 'target', type: 'text', collation: 'C' },
      { name: 'version', type: 'integer' },
      { name: 'current', type: 'boolean', constraints: 'NOT NULL' },
    ],
    primaryKey: ['target', 'version'],
  }
}
