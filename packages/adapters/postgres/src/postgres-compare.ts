import type { SinkRow, SinkValue } from '@headwater/core'
import { columnTypes } from './column-type.ts'
import { quote } from './identifier.ts'
import { query, type PostgresClient, type PostgresRow } from './postgres-client.ts'
import type { Target } from './postgres-schema.ts'
import type { RowLayout } from './row-layout.ts'

/** Rows a page of `listRows`; a page is in memory at once. */
const pageRows = 5_000

/**
 * Every row and every tombstone, by key. Each page is one snapshot of both, so that a key that is deleted or comes
 * back meanwhile is neither given twice nor left out.
 */
export async function* listRows(
  target: Target,
  withClient: <R>(work: (client: PostgresClient) => Promise<R>) => Promise<R>,
): AsyncGenerator<SinkRow, void> {
  let after: string | undefined
  for (;;) {
    const text = pageSql(target, after === undefined ? '>=' : '>')
    const values = [after ?? '', pageRows, target.books]
    const rows = await withClient((client) => query(client, text, values))
    for (const row of rows) yield sinkRow(target, row[target.keyColumn] ?? '', row)
    after = rows.at(-1)?.[target.keyColumn] ?? undefined
    if (after === undefined || rows.length < pageRows) return
  }
}

function pageSql({ sql, keyColumn, own }: Target, past: '>' | '>='): string {
  const key = quote(keyColumn)
  return `
(SELECT ${[keyColumn, own.epoch, own.sequence, own.hash].map(quote).join(', ')}
  FROM ${sql.table} WHERE ${key} ${past} $1 ORDER BY ${key} LIMIT $2)
UNION ALL
(SELECT key, epoch, sequence, NULL
  FROM ${sql.tombstones} WHERE target = $3 AND key ${past} $1 ORDER BY key LIMIT $2)
ORDER BY ${key} LIMIT $2`
}

/** What the table holds of these keys, in their order. */
export async function readRows(
  client: PostgresClient,
  target: Target,
  layout: RowLayout,
  keys: readonly string[],
): Promise<readonly (SinkValue | undefined)[]> {
  // No row can have such a key, and Postgres does not even take the question.
  const askable = keys.map((key) => (key.includes('\0') ? null : key))
  const rows = await query(client, readSql(target), [askable, target.books])
  return keys.map((key, index) => {
    const row = rows[index]
    if (!row?.[target.own.epoch]) return undefined
    const held = sinkRow(target, key, row)
    return {
      ...held,
      value: held.deleted ? undefined : layout.read(row),
      mark: row[markColumn(target)] ?? '',
    }
  })
}

/** Our own columns lend their names to what is selected, for none of the user's can have them. */
function readSql(target: Target): string {
  const { sql, keyColumn, columns, own } = target
  const key = quote(keyColumn)
  const [epoch, sequence, hash] = [own.epoch, own.sequence, own.hash].map(quote)
  const cells = columns.map(({ name, type }) => {
    const column = `t.${quote(name)}`
    return `${columnTypes[type].select?.(column) ?? column} AS ${quote(name)}`
  })
  return `
SELECT ${[`t.${key}`, ...cells].join(', ')}, t.${hash},
  coalesce(t.${epoch}, d.epoch) AS ${epoch}, coalesce(t.${sequence}, d.sequence) AS ${sequence},
  concat(t.ctid, ' ', t.xmin, ' ', d.xmin) AS ${quote(markColumn(target))}
FROM unnest($1::text[]) WITH ORDINALITY AS i (key, place)
LEFT JOIN ${sql.table} AS t ON t.${key} = i.key
LEFT JOIN ${sql.tombstones} AS d ON d.target = $2 AND d.key = i.key
ORDER BY i.place`
}

/**
 * Which version of a row, and of a tombstone, it is: Postgres makes a new one with every update. One of our own columns
 * that is not selected lends its name.
 */
function markColumn({ own }: Target): string {
  return own.bucket
}

/** A tombstone has no hash. */
export function sinkRow({ own }: Target, key: string, row: PostgresRow): SinkRow {
  const hash = row[own.hash]
  return {
    key,
    deleted: !hash,
    stamp: { epoch: Number(row[own.epoch]), sequence: Number(row[own.sequence]) },
    hash: BigInt(hash ?? 0),
  }
}
