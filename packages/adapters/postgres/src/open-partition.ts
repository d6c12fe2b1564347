import { HeadwaterError, type Fence, type OpenPartitionOptions, type SinkPosition } from '@headwater/core'
import { inTransaction, query, type PostgresClient, type PostgresRow } from './postgres-client.ts'
import { lock, type Target } from './postgres-schema.ts'

export interface OpenedPartition {
  readonly position: SinkPosition | undefined
  /** How many batches the partition has had. */
  readonly turn: number
}

/**
 * Writes the fence, then reads the position. An apply of the last owner that is under way ends before, and none of
 * its later ones finds its fence.
 *
 * @param isPresent whether readers still have this version; it keeps others from switching until the transaction ends
 * @returns undefined where they have another one
 * @throws HeadwaterError SINK_FENCED, SINK_MISCONFIGURED
 */
export async function openPartition(
  client: PostgresClient,
  target: Target,
  sinkName: string,
  options: OpenPartitionOptions,
  isPresent: (client: PostgresClient) => Promise<boolean>,
): Promise<OpenedPartition | undefined> {
  const { lineage, group, partition, fence } = options
  const place = [target.books, partition, group]
  return inTransaction(client, async () => {
    if (!(await isPresent(client))) return undefined
    const known = await query(
      client,
      `SELECT FROM ${target.sql.partitions} WHERE target = $1 AND partition = $2 AND "group" = $3`,
      place,
    )
    // One at a time where a group is new, so that two logs cannot both find the table free, and two groups see each other.
    if (known.length === 0) await lock(client, target.sql.table)
    await checkLineage(client, target, lineage)
    const rows = await query(
      client,
      `SELECT * FROM ${target.sql.partitions} WHERE target = $1 AND partition = $2 ORDER BY "group" FOR UPDATE`,
      [target.books, partition],
    )
    const held = rows.find((row) => row['group'] === group)
    if (held && !mayFollow(fenceOf(held), fence)) throw fenced(sinkName, partition, fenceOf(held))
    const ours = [...place, lineage, fence.epoch, fence.token, fence.owner]
    await query(client, held ? replaceFence(target) : addGroup(target), ours)
    return { position: held && positionOf(held), turn: Number(held?.['turn'] ?? 0) }
  })
}

/**
 * Stores a position, unless a greater one is stored. `turn` is the one that was confirmed last.
 *
 * @throws HeadwaterError SINK_FENCED
 */
export async function advancePartition(
  client: PostgresClient,
  target: Target,
  sinkName: string,
  { group, partition, fence }: OpenPartitionOptions,
  { epoch, sequence, branch }: SinkPosition,
  turn: number,
): Promise<void> {
  const rows = await query(
    client,
    `WITH mine AS (
        SELECT turn >= $10 AS kept, epoch IS NULL OR (epoch, sequence) < ($7, $8) AS moves
        FROM ${target.sql.partitions}
        WHERE target = $1 AND partition = $2 AND "group" = $3
          AND fence_epoch = $4 AND fence_token = $5 AND fence_owner = $6
        FOR UPDATE
      ), moved AS (
        UPDATE ${target.sql.partitions} SET epoch = $7, sequence = $8, branch = $9
        FROM mine WHERE kept AND moves AND target = $1 AND partition = $2 AND "group" = $3
      )
      SELECT kept FROM mine`,
    [target.books, partition, group, fence.epoch, fence.token, fence.owner, epoch, sequence, branch, turn],
  )
  if (!rows[0]) throw fenced(sinkName, partition)
  if (rows[0]['kept'] !== 't') throw rolledBack(sinkName, partition)
}

/** @param held who owns it now, where that is known */
export function fenced(sinkName: string, partition: number, held?: Fence): HeadwaterError {
  const owner = held ? `${held.owner} with token ${held.epoch}/${held.token}` : 'another worker since'
  return new HeadwaterError(
    'SINK_FENCED',
    `Partition ${partition} of the ${sinkName} was opened by ${owner}: leave it to that worker.`,
  )
}

/** After a failover to a copy that was behind, or a restore: whoever goes on must begin where the copy ends. */
export function rolledBack(sinkName: string, partition: number): HeadwaterError {
  return new HeadwaterError(
    'SINK_FENCED',
    `The ${sinkName} has lost batches of partition ${partition} that it had confirmed: open it again, at the position that survived.`,
  )
}

async function checkLineage(client: PostgresClient, { sql, books }: Target, lineage: string): Promise<void> {
  const rows = await query(
    client,
    `SELECT lineage FROM ${sql.partitions} WHERE target = $1 AND lineage <> $2 LIMIT 1`,
    [books, lineage],
  )
  if (!rows[0]) return
  const literal = `'${books.replaceAll("'", "''")}'`
  throw new HeadwaterError(
    'SINK_MISCONFIGURED',
    `Table ${sql.table} holds data of another log (${rows[0]['lineage']}, not ${lineage}). Use another table, or forget it: ` +
      `TRUNCATE ${sql.table}; DELETE FROM ${sql.partitions} WHERE target = ${literal}; DELETE FROM ${sql.tombstones} WHERE target = ${literal};`,
  )
}

function replaceFence({ sql }: Target): string {
  return `UPDATE ${sql.partitions}
    SET lineage = $4, fence_epoch = $5, fence_token = $6, fence_owner = $7
    WHERE target = $1 AND partition = $2 AND "group" = $3`
}

/** Applies of other groups that have begun cannot see the new row, so their own has to tell them (see the apply statement). */
function addGroup({ sql }: Target): string {
  return `WITH others AS (
      UPDATE ${sql.partitions} SET turn = turn + 1 WHERE target = $1 AND partition = $2
    )
    INSERT INTO ${sql.partitions} (target, partition, "group", lineage, fence_epoch, fence_token, fence_owner)
    VALUES ($1, $2, $3, $4, $5, $6, $7)`
}

/** Whether a partition that `held` was opened with may be opened with `fence`. */
function mayFollow(held: Fence, fence: Fence): boolean {
  const newer = fence.epoch - held.epoch || fence.token - held.token
  return newer > 0 || (newer === 0 && fence.owner === held.owner)
}

function fenceOf(row: PostgresRow): Fence {
  return {
    epoch: Number(row['fence_epoch']),
    token: Number(row['fence_token']),
    owner: row['fence_owner'] ?? '',
  }
}

function positionOf({ epoch, sequence, branch }: PostgresRow): SinkPosition | undefined {
  if (!epoch) return undefined
  return { epoch: Number(epoch), sequence: Number(sequence), branch: branch ?? '' }
}
