import type { CellName, CellsQuery, DigestCell, DigestQuery, SinkRow } from '@headwater/core'
import { quote } from './identifier.ts'
import { query, type PostgresClient, type PostgresRow } from './postgres-client.ts'
import { sinkRow } from './postgres-compare.ts'
import type { Target } from './postgres-schema.ts'

/** Rows a page of `listCellRows`. */
const pageRows = 5_000

/** Blocks that one statement sums up: 128 MB, in a fraction of a second. */
const blocksAtOnce = 16_384

type WithClient = <R>(work: (client: PostgresClient) => Promise<R>) => Promise<R>

/**
 * Sums up the rows in the database, a large table piece by piece: only the cells travel, and no statement takes long. A row
 * that is written meanwhile may be in two pieces or none, and then its cell is looked into.
 */
export async function digestRows(
  target: Target,
  { depth, within, onRows }: DigestQuery,
  withClient: WithClient,
  blocks: number = blocksAtOnce,
): Promise<DigestCell[]> {
  const cells = new Map<string, DigestCell>()
  const { partition, bucket, low } = cellSql(target, depth)
  for (const piece of await withClient((client) => piecesOf(client, target, blocks))) {
    const scope = [piece, ...(within ? [inside(target, depth - 1)] : [])].join(' AND ')
    const text = `SELECT ${partition} AS partition, ${bucket} AS bucket, ${low} AS low,
        count(*) AS count, mod(sum(${quote(target.own.hash)}::numeric), 18446744073709551616) AS sum
      FROM ${target.sql.table} AS t WHERE ${scope} GROUP BY 1, 2, 3`
    const rows = await withClient((client) => query(client, text, within ? cellArrays(within) : []))
    let counted = 0
    for (const row of rows) {
      const name = {
        partition: Number(row['partition']),
        bucket: Number(row['bucket']),
        low: Number(row['low']),
      }
      const id = `${name.partition} ${name.bucket} ${name.low}`
      const held = cells.get(id)
      const sum = BigInt.asUintN(64, BigInt(row['sum'] ?? 0) + (held?.sum ?? 0n))
      cells.set(id, { ...name, count: Number(row['count']) + (held?.count ?? 0), sum })
      counted += Number(row['count'])
    }
    onRows?.(counted)
  }
  return [...cells.values()]
}

/** Conditions for the pieces of a table. Where the server cannot go straight to a piece, before 14, there is only one. */
async function piecesOf(client: PostgresClient, { sql }: Target, blocks: number): Promise<string[]> {
  const [row] = await query(
    client,
    `SELECT CASE WHEN current_setting('server_version_num')::int < 140000 THEN 0
        ELSE pg_relation_size($1::regclass) / current_setting('block_size')::int END AS blocks`,
    [sql.table],
  )
  const pieces = Math.max(1, Math.ceil(Number(row?.['blocks']) / blocks))
  return Array.from({ length: pieces }, (_, at) => {
    const from = at === 0 ? 'true' : `t.ctid >= '(${at * blocks},0)'::tid`
    // What is appended meanwhile is behind the last.
    return at === pieces - 1 ? from : `${from} AND t.ctid < '(${(at + 1) * blocks},0)'::tid`
  })
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
  withClient: WithClient,
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
