import { HeadwaterError, type CollectionOf, type ReplaceOutcome, type Sink } from '@headwater/core'
import { applyStatement } from './apply-statement.ts'
import { checkColumnName } from './identifier.ts'
import { openPartition } from './open-partition.ts'
import { surviveIdleErrors, withClient, type PostgresClient, type PostgresPool } from './postgres-client.ts'
import { columnsOf, type ColumnMapping } from './postgres-columns.ts'
import { listRows, readRows } from './postgres-compare.ts'
import { postgresError } from './postgres-error.ts'
import { PostgresPartition } from './postgres-partition.ts'
import { digestRows, listCellRows } from './postgres-digest.ts'
import { replaceRow } from './postgres-replace.ts'
import { prepareTarget, targetOf, type Target } from './postgres-schema.ts'
import { PostgresVersions } from './postgres-versions.ts'
import { columnLayout, documentLayout, type RowLayout } from './row-layout.ts'

export interface PostgresSinkOptions<T> {
  /**
   * The `Pool` of `pg`. One connection is used at a time for each partition that a worker owns, and one more while the
   * partition is checked at a marker. Never closed by us.
   */
  readonly pool: PostgresPool
  readonly collection: CollectionOf<T>
  readonly table: string
  /** Default `public`. */
  readonly schema?: string
  /**
   * `columns` (default): one column a property of the collection's JSON Schema.
   * `jsonb`: the whole value in one column.
   */
  readonly layout?: 'columns' | 'jsonb'
  /** Other names or types for the columns of properties, and the columns where the collection has no JSON Schema. */
  readonly columns?: ColumnMapping<T>
  /** The column of the key, `text`. Default `key`. It may be the column of the property that is the key. */
  readonly keyColumn?: string
  /** The column of the value in layout `jsonb`. Default `value`. */
  readonly valueColumn?: string
  /** Before the names of the sink's own columns and side tables. Default `hw_`. */
  readonly prefix?: string
  /** Whether `prepare` creates the schema and the tables that do not exist. Default true. */
  readonly create?: boolean
  /** How long one call may take, in ms, waiting for a connection included. Default 30,000. */
  readonly timeoutMs?: number
}

const prefixDefault = 'hw_'
const keyColumnDefault = 'key'

/**
 * Keeps a PostgreSQL table in step with a collection: plain columns under the user's names, the sink's own ones with a
 * prefix. A batch is applied by one statement, in one round trip.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export function postgresSink<T>(options: PostgresSinkOptions<T>): Sink<T> {
  const { pool, collection, create = true, timeoutMs = 30_000 } = options
  const layout = layoutOf(options)
  const { table, schema = 'public', prefix = prefixDefault, keyColumn = keyColumnDefault } = options
  const targetFor = (named: string, books?: string): Target =>
    targetOf({ schema, table: named, prefix, keyColumn, columns: layout.columns, ...(books && { books }) })
  const first = targetFor(table)
  const name = `postgres table "${schema === 'public' ? '' : `${schema}.`}${table}"`
  surviveIdleErrors(pool)

  async function call<R>(work: (client: PostgresClient) => Promise<R>, signal?: AbortSignal): Promise<R> {
    try {
      return await withClient(pool, { sinkName: name, timeoutMs, signal }, work)
    } catch (error) {
      throw postgresError(name, error)
    }
  }

  /** @param versions of the table that readers see; a version that they do not see has no others */
  function sinkOn(target: Target, prepare: () => Promise<void>, versions?: PostgresVersions<T>): Sink<T> {
    const on = <R>(work: (client: PostgresClient, target: Target) => Promise<R>): Promise<R> =>
      call(async (client) => work(client, versions ? await versions.present(client) : target))
    return {
      name,
      collection,
      capabilities: {
        transactions: true,
        list: true,
        read: true,
        replace: true,
        digest: true,
        snapshot: true,
        versions: versions !== undefined,
        concurrency: 1,
        batch: { changes: 500, bytes: 4 * 1_048_576 },
      },
      prepare,
      check: () => on((client, present) => prepareTarget(client, present, false)),
      async open(place) {
        for (;;) {
          const opened = await call(async (client) => {
            const present = versions ? await versions.present(client) : target
            const isPresent = async (): Promise<boolean> =>
              (await versions?.isPresent(client, present)) ?? true
            return [present, await openPartition(client, present, name, place, isPresent)] as const
          }, place.signal)
          const [present, partition] = opened
          // Where it was switched meanwhile, the present version is another one.
          if (!partition) continue
          const statement = applyStatement(present)
          const parts = { sinkName: name, target: present, layout, statement, call, place }
          return new PostgresPartition({ ...parts, opened: partition })
        }
      },
      async *list({ signal } = {}) {
        const present = await on(async (_client, of) => of)
        yield* listRows(present, (work) => call(work, signal))
      },
      digest: async (query) => digestRows(await on(async (_client, of) => of), query, call),
      async *listCells(query) {
        yield* listCellRows(await on(async (_client, of) => of), query, call)
      },
      read: (keys) => on((client, present) => readRows(client, present, layout, keys)),
      async replace(replacements) {
        const outcomes: ReplaceOutcome[] = []
        for (const each of replacements) {
          outcomes.push(await on((client, present) => replaceRow(client, present, layout, name, each)))
        }
        return outcomes
      },
      ...(versions && { versions }),
      close: async () => {},
    }
  }

  const versions = new PostgresVersions<T>({ sinkName: name, first, targetOf: targetFor, call, sinkOn })
  return sinkOn(first, () => call((client) => prepareTarget(client, first, create)), versions)
}

function layoutOf<T>(options: PostgresSinkOptions<T>): RowLayout {
  const {
    collection,
    columns: mapping,
    keyColumn = keyColumnDefault,
    valueColumn,
    prefix = prefixDefault,
  } = options
  checkColumnName(keyColumn, 'The column of the key', 'choose another `keyColumn`')
  switch (options.layout ?? 'columns') {
    case 'jsonb': {
      if (mapping) throw unusable('columns', 'jsonb')
      const name = valueColumn ?? 'value'
      checkColumnName(name, 'The column of the value', 'choose another `valueColumn`')
      return documentLayout(name)
    }
    case 'columns': {
      if (valueColumn !== undefined) throw unusable('valueColumn', 'columns')
      const columns = columnsOf(collection, mapping)
      const shared = columns.find(({ name }) => name === keyColumn)
      if (shared && (options.keyColumn === undefined || shared.type !== 'text')) {
        throw new HeadwaterError(
          'OPTION_INVALID',
          `Property "${shared.property}" has the column "${keyColumn}", where the key goes. If the property is the key, ` +
            `a text, say keyColumn: "${keyColumn}"; if not, choose another \`keyColumn\`.`,
        )
      }
      return columnLayout(columns, `${prefix}rest`, keyColumn)
    }
    default:
      throw new HeadwaterError(
        'OPTION_INVALID',
        `layout ${JSON.stringify(options.layout)} is neither "columns" nor "jsonb".`,
      )
  }
}

function unusable(option: string, layout: string): HeadwaterError {
  return new HeadwaterError(
    'OPTION_INVALID',
    `\`${option}\` means nothing in layout "${layout}": leave it out.`,
  )
}
