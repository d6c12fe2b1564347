import { HeadwaterError, type Replacement, type ReplaceOutcome } from '@headwater/core'
import { quote } from './identifier.ts'
import { inTransaction, query, type PostgresClient } from './postgres-client.ts'
import { readRows } from './postgres-compare.ts'
import type { Target } from './postgres-schema.ts'
import type { RowLayout } from './row-layout.ts'

/** Puts one key right: looks and writes in one transaction, in which no worker can write the partition. */
export async function replaceRow(
  client: PostgresClient,
  target: Target,
  layout: RowLayout,
  sinkName: string,
  replacement: Replacement,
): Promise<ReplaceOutcome> {
  const { key, change } = replacement
  const written = change?.kind === 'put' ? layout.write(change) : undefined
  if (written?.kind === 'misfit') {
    const message = `The change of ${JSON.stringify(key)} does not fit the ${sinkName}: ${written.reason}.`
    return { kind: 'reject', error: new HeadwaterError('SINK_REJECTED', message) }
  }
  return await inTransaction(client, async () => {
    if (!(await isAsSeen(client, target, layout, replacement))) return { kind: 'changed' }
    await clear(client, target, key, change?.kind !== 'put')
    if (written) await store(client, target, replacement, written.cells)
    else if (change) await bury(client, target, replacement)
    return { kind: 'replaced' }
  })
}

/** Takes the turns of the partition, as an apply does, which so finds that it was overtaken; then holds the row. */
async function isAsSeen(
  client: PostgresClient,
  target: Target,
  layout: RowLayout,
  { key, partition, observed }: Replacement,
): Promise<boolean> {
  const { sql, books, keyColumn } = target
  await query(
    client,
    `WITH held AS (
        SELECT "group" FROM ${sql.partitions} WHERE target = $1 AND partition = $2 ORDER BY "group" FOR UPDATE
      )
      UPDATE ${sql.partitions} AS p SET turn = turn + 1 FROM held
      WHERE p.target = $1 AND p.partition = $2 AND p."group" = held."group"`,
    [books, partition],
  )
  await query(client, `SELECT FROM ${sql.table} WHERE ${quote(keyColumn)} = $1 FOR UPDATE`, [key])
  const [held] = await readRows(client, target, layout, [key])
  return held?.mark === observed?.mark
}

/** @param row whether the row goes too, or is about to be written over */
async function clear(client: PostgresClient, { sql, books, keyColumn }: Target, key: string, row: boolean) {
  await query(client, `DELETE FROM ${sql.tombstones} WHERE target = $1 AND key = $2`, [books, key])
  if (row) await query(client, `DELETE FROM ${sql.table} WHERE ${quote(keyColumn)} = $1`, [key])
}

/** Columns that are none of ours keep what they hold. */
async function store(
  client: PostgresClient,
  { sql, keyColumn, columns, own }: Target,
  { key, partition, change }: Replacement,
  cells: readonly (string | null)[],
): Promise<void> {
  const names = [
    ...columns.map(({ name }) => name),
    own.epoch,
    own.sequence,
    own.hash,
    own.partition,
    own.bucket,
  ]
  const quoted = names.map(quote)
  const places = names.map((_name, index) => `$${index + 2}${castOf(columns[index]?.type)}`)
  const { stamp, hash, bucket } = change!
  await query(
    client,
    `INSERT INTO ${sql.table} (${[quote(keyColumn), ...quoted].join(', ')}) VALUES (${['$1', ...places].join(', ')})
      ON CONFLICT (${quote(keyColumn)}) DO UPDATE SET ${quoted.map((name) => `${name} = excluded.${name}`).join(', ')}`,
    [key, ...cells, stamp.epoch, stamp.sequence, String(hash), partition, bucket],
  )
}

function castOf(type: string | undefined): string {
  return type === undefined ? '' : `::${type}`
}

async function bury(
  client: PostgresClient,
  { sql, books }: Target,
  { key, partition, change }: Replacement,
): Promise<void> {
  const { stamp } = change!
  await query(
    client,
    `INSERT INTO ${sql.tombstones} (target, key, epoch, sequence, partition) VALUES ($1, $2, $3, $4, $5)`,
    [books, key, stamp.epoch, stamp.sequence, partition],
  )
}
