import { createHash } from 'node:crypto'
import type { Change, OpenPartitionOptions, SinkPosition } from '@headwater/core'
import { isNumeric, type ColumnType } from './column-type.ts'
import { quote } from './identifier.ts'
import { query, type PostgresClient } from './postgres-client.ts'
import type { Target } from './postgres-schema.ts'

/** A change and what to write into the columns of its row; none for a delete. */
export interface WrittenChange {
  readonly change: Change
  readonly cells: readonly (string | null)[]
}

export type ApplyAnswer =
  /** Nothing was written: the partition was opened by somebody else since. */
  | { readonly kind: 'fenced' }
  /** Nothing was written: Postgres has lost what it had confirmed. */
  | { readonly kind: 'rolled back' }
  /** Nothing was written: while it waited for its turn somebody else wrote, and it could not see what. Ask again. */
  | { readonly kind: 'overtaken' }
  | { readonly kind: 'done'; readonly stale: ReadonlySet<string>; readonly turn: number }

/**
 * Applies a batch and moves the position in one statement: one round trip, and atomic without a transaction around it.
 */
export interface ApplyStatement {
  run(
    client: PostgresClient,
    partition: OpenPartitionOptions,
    writes: readonly WrittenChange[],
    position: SinkPosition,
    /** The turn that was confirmed last. */
    turn: number,
  ): Promise<ApplyAnswer>
}

export function applyStatement(target: Target): ApplyStatement {
  const text = applySql(target)
  // pg prepares a name once a connection, and refuses another text under it.
  const name = `headwater_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`
  return {
    async run(client, partition, writes, position, turn) {
      const values = applyValues(target, partition, writes, position, turn)
      const [answer] = await query(client, text, values, name)
      const kind = answer?.['verdict'] as ApplyAnswer['kind']
      if (kind !== 'done') return { kind }
      const stale = JSON.parse(answer?.['stale'] ?? '[]') as string[]
      return { kind, stale: new Set(stale), turn: Number(answer?.['turn']) }
    },
  }
}

/**
 * All parts of one statement see the database as it was when the statement began, but a lock gives a row as it is
 * now. So the statement compares the two: when the turn of a locked row is not the one that it began with, it had to
 * wait for somebody else's apply, whose tombstones it cannot see, and it writes nothing. The rows of all groups are
 * locked, because two groups may share a table; `open` raises the turns of the others when a group is new.
 */
function applySql({ sql, keyColumn, columns, own }: Target): string {
  const key = quote(keyColumn)
  const [epoch, sequence, hash, partition, bucket] = [
    own.epoch,
    own.sequence,
    own.hash,
    own.partition,
    own.bucket,
  ].map(quote)
  const names = [...columns.map(({ name }) => quote(name)), epoch, sequence, hash, partition, bucket]
  const cells = columns.map((_column, index) => `cell${index}`)
  const casts = columns.map(({ type }, index) => `cell${index}::${type}`)
  // In parentheses the planner cannot count the items. Else it would find batches with few deletes so cheap to plan anew
  // that it would never keep a plan, and planning takes longer than the deletes.
  const deletes =
    'unnest((SELECT $15::text[]), (SELECT $16::bigint[]), (SELECT $17::bigint[])) AS i (key, epoch, sequence)'
  const cellArrays = columns.map(({ type }, index) => `$${20 + index}::${carrier(type)}[]`)
  return `
WITH held AS MATERIALIZED (
  SELECT * FROM ${sql.partitions} WHERE target = $1 AND partition = $2 ORDER BY "group" FOR UPDATE
), mine AS (
  SELECT turn, epoch IS NULL OR (epoch, sequence) < ($7::bigint, $8::bigint) AS moves FROM held
  WHERE "group" = $3 AND fence_epoch = $4 AND fence_token = $5 AND fence_owner = $6
), judged AS MATERIALIZED (
  SELECT CASE
    WHEN NOT EXISTS (SELECT FROM mine) THEN 'fenced'
    WHEN (SELECT turn FROM mine) < $19 THEN 'rolled back'
    WHEN (SELECT sum(turn) FROM held)
      <> (SELECT sum(turn) FROM ${sql.partitions} WHERE target = $1 AND partition = $2) THEN 'overtaken'
    ELSE 'done' END AS verdict
), moved AS (
  UPDATE ${sql.partitions} AS p SET turn = p.turn + 1,
    epoch = CASE WHEN moves THEN $7 ELSE p.epoch END,
    sequence = CASE WHEN moves THEN $8 ELSE p.sequence END,
    branch = CASE WHEN moves THEN $9 ELSE p.branch END
  FROM mine, judged WHERE verdict = 'done' AND target = $1 AND partition = $2 AND "group" = $3
), tombs AS MATERIALIZED (
  SELECT key, epoch, sequence FROM ${sql.tombstones} WHERE target = $1 AND key = ANY ($10::text[])
), put AS (
  INSERT INTO ${sql.table} AS t (${[key, ...names].join(', ')})
  SELECT ${['i.key', ...casts, 'i.epoch', 'i.sequence', 'hash', '$2', 'bucket'].join(', ')}
  FROM unnest(${['$10::text[]', '$11::bigint[]', '$12::bigint[]', '$13::bigint[]', '$14::smallint[]', ...cellArrays].join(', ')})
    AS i (${['key', 'epoch', 'sequence', 'hash', 'bucket', ...cells].join(', ')})
  LEFT JOIN tombs ON tombs.key = i.key
  WHERE (SELECT verdict FROM judged) = 'done'
    AND (tombs.key IS NULL OR (tombs.epoch, tombs.sequence) < (i.epoch, i.sequence))
  ON CONFLICT (${key}) DO UPDATE SET ${names.map((name) => `${name} = excluded.${name}`).join(', ')}
  WHERE (t.${epoch}, t.${sequence}) < (excluded.${epoch}, excluded.${sequence})
  RETURNING t.${key} AS key
), raised AS (
  DELETE FROM ${sql.tombstones} AS d USING tombs, put
  WHERE d.target = $1 AND d.key = tombs.key AND put.key = tombs.key
), deleted AS (
  DELETE FROM ${sql.table} AS t USING ${deletes}
  WHERE (SELECT verdict FROM judged) = 'done'
    AND t.${key} = i.key AND (t.${epoch}, t.${sequence}) < (i.epoch, i.sequence)
), buried AS (
  INSERT INTO ${sql.tombstones} AS d (target, key, epoch, sequence, partition)
  SELECT $1, i.key, i.epoch, i.sequence, $2
  FROM ${deletes}
  LEFT JOIN ${sql.table} AS t ON t.${key} = i.key
  WHERE (SELECT verdict FROM judged) = 'done'
    AND (t.${key} IS NULL OR (t.${epoch}, t.${sequence}) < (i.epoch, i.sequence))
  ON CONFLICT (target, key) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence, partition = excluded.partition
  WHERE (d.epoch, d.sequence) < (excluded.epoch, excluded.sequence)
  RETURNING d.key
)
SELECT verdict, (SELECT turn + 1 FROM mine) AS turn, CASE WHEN (SELECT count(*) FROM put) + (SELECT count(*) FROM buried) < $18 THEN (
    SELECT json_agg(i.key) FROM unnest($10::text[] || $15::text[]) AS i (key)
    WHERE i.key NOT IN (SELECT key FROM put UNION ALL SELECT key FROM buried)
  ) END AS stale
FROM judged`
}

/** JSON travels as text, which is cheaper to take out of an array. */
function carrier(type: ColumnType): ColumnType {
  return type === 'jsonb' || type === 'json' ? 'text' : type
}

function applyValues(
  { books, columns }: Target,
  { partition, group, fence }: OpenPartitionOptions,
  writes: readonly WrittenChange[],
  position: SinkPosition,
  turn: number,
): unknown[] {
  // In the order of the index, which is cheaper, and cannot deadlock with others who keep to it.
  const sorted = [...writes].sort((a, b) => (a.change.key < b.change.key ? -1 : 1))
  const puts = sorted.filter(({ change }) => change.kind === 'put')
  const deletes = sorted.filter(({ change }) => change.kind === 'delete')
  const stamps = (some: readonly WrittenChange[]) => [
    some.map(({ change }) => change.key),
    plainArray(some.map(({ change }) => change.stamp.epoch)),
    plainArray(some.map(({ change }) => change.stamp.sequence)),
  ]
  return [
    books,
    partition,
    group,
    fence.epoch,
    fence.token,
    fence.owner,
    position.epoch,
    position.sequence,
    position.branch,
    ...stamps(puts),
    plainArray(puts.map(({ change }) => change.hash)),
    plainArray(puts.map(({ change }) => change.bucket)),
    ...stamps(deletes),
    writes.length,
    turn,
    ...columns.map(({ type }, index) =>
      cellArray(
        type,
        puts.map(({ cells }) => cells[index] ?? null),
      ),
    ),
  ]
}

function cellArray(type: ColumnType, cells: readonly (string | null)[]): unknown {
  // unnest fills a shorter array up with NULL.
  if (cells.every((cell) => cell === null)) return '{}'
  return isNumeric(type) ? plainArray(cells.map((cell) => cell ?? 'NULL')) : cells
}

/** Without the quotes and escapes that pg would look for in each item. */
function plainArray(items: readonly (number | bigint | string)[]): string {
  return `{${items.join()}}`
}
