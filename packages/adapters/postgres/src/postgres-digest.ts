import type { CellName, CellsQuery, DigestCell, DigestQuery, SinkRow } from '@headwater/core'
import { quote } from './identifier.ts'
import { query, type PostgresClient, type PostgresRow } from './postgres-client.ts'
import { sinkRow } from './postgres-compare.ts'
import type { Target } from './postgres-schema.ts'

/** Rows a page of `listCellRows`. */
const pageRows = 5_000

/** Sums up the rows in the database: one pass over the table, and only the cells travel. */
export async function digestRows(
  client: PostgresClient,
  target: Target,
  { depth, within }: DigestQuery,
): Promise<DigestCell[]> {
  const { partition, bucket, low } = cellSql(target, depth)
  const rows = await query(
    client,
    `SELECT ${partition} AS partition, ${bucket} AS bucket, ${low} AS low,
        count(*) AS count, mod(sum(${quote(target.own.hash)}::numeric), 18446744073709551616) AS sum
      FROM ${target.sql.table} AS t ${within ? `WHERE ${inside(target, depth - 1)}` : ''} GROUP BY 1, 2, 3`,
    within ? cellArrays(within) : [],
  )
  return rows.map((row) => ({
    partition: Number(row['partition']),
    bucket: Number(row['bucket']),
    low: Number(row['low']),
    count: Number(row['count']),
    sum: BigInt.asUintN(64, BigInt(row['sum'] ?? 0)),
  }))
}

/** The sums of one partition's rows, by bucket. */
export async function sumRows(
  client: PostgresClient,
  { own, sql }: Target,
  partition: number,
): Promise<ReadonlyMap<number, bigint>> {
  const rows = await query(
    client,
    `SELECT ${quote(own.bucket)} AS bucket, mod(sum(${quote(own.hash)}::numeric), 18446744073709551616) AS sum
      FROM ${sql.table} WHERE ${quote(own.partition)} = $1 GROUP BY 1`,
    [partition],
  )
  return new Map(rows.map(({ bucket, sum }) => [Number(bucket), BigInt(sum ?? 0)]))
}

/** The live rows in some cells, by key. */
export async function* listCellRows(
  target: Target,
  { depth, cells }: CellsQuery,
  withClient: <R>(work: (client: PostgresClient) => Promise<R>) => Promise<R>,
): AsyncGenerator<SinkRow, void> {
  const { keyColumn, own, sql } = target
  const key = quote(keyColumn)
  const text = `SELECT ${[keyColumn, own.epoch, own.sequence, own.hash].map(quote).join(', ')}
    FROM ${sql.table} AS t WHERE ${inside(target, depth)} AND ($4::text IS NULL OR ${key} > $4)
    ORDER BY ${key} LIMIT ${pageRows}`
  let after: string | null = null
  for (;;) {
    const values: unknown[] = [...cellArrays(cells), after]
    const rows: readonly PostgresRow[] = await withClient((client) => query(client, text, values))
    for (const row of rows) yield sinkRow(target, row[keyColumn] ?? '', row)
    after = rows.at(-1)?.[keyColumn] ?? null
    if (after === null || rows.length < pageRows) return
  }
}

/** The cell of a row. A hash of 0 is none that a log writes. */
function cellSql({ own }: Target, depth: number): { partition: string; bucket: string; low: string } {
  const hash = quote(own.hash)
  const orNone = (column: string): string => `CASE WHEN ${hash} = 0 THEN -1 ELSE ${quote(column)} END`
  return {
    partition: orNone(own.partition),
    bucket: orNone(own.bucket),
    low: `${hash} & ${(1n << BigInt(4 * depth)) - 1n}`,
  }
}

function inside(target: Target, depth: number): string {
  const { partition, bucket, low } = cellSql(target, depth)
  return `(${partition}, ${bucket}, ${low}) IN (SELECT * FROM unnest($1::int[], $2::int[], $3::bigint[]))`
}

function cellArrays(cells: readonly CellName[]): unknown[] {
  return [
    cells.map(({ partition }) => partition),
    cells.map(({ bucket }) => bucket),
    cells.map(({ low }) => low),
  ]
}
