import { formatPosition, type Position } from '../change/position.ts'
import { parseCopyProgress } from '../copy/copy-progress.ts'
import type { NamespaceKeys, PartitionKeys } from '../namespace/keys.ts'
import type { Connection } from '../redis/connection.ts'
import { parseProof, type PartitionProof } from '../proof/partition-proof.ts'
import { parseScrubStatus, type ScrubStatus } from '../proof/scrub-progress.ts'
import { persist } from '../redis/persist.ts'
import { readSteering, steeringOf } from '../steering/steering-state.ts'
import { parseCheckpoint } from './checkpoint.ts'

/** How far a first copy is. */
export interface CopyStatus {
  /** Keys copied, deleted ones included. */
  readonly copied: number
  /** Keys that there were when it began; 0 before they were counted. */
  readonly total: number
}

/** How far a group is in one partition. */
export interface PartitionStatus {
  readonly group: string
  readonly partition: number
  /** The worker that holds the lease; undefined when nobody does. */
  readonly owner: string | undefined
  /** Up to where everything is applied, superseded or parked. */
  readonly checkpoint: Position
  /** Changes in the log behind the checkpoint. */
  readonly lag: number
  /** Batches delivered to the owner and not acknowledged yet. */
  readonly pending: number
  /** Keys set aside. */
  readonly parked: number
  /** Whether somebody paused it: the partition by itself, or its whole group. */
  readonly paused: boolean
  /** Why the partition stands still although the log is whole: it has parked as much as it may; else undefined. */
  readonly standstill: string | undefined
  /** How far the first copy of the state is; undefined when it is done, or there was none. Until then nothing is provable. */
  readonly copying: CopyStatus | undefined
  /** What was found wrong with the log, and stops the partition; undefined when nothing was. */
  readonly damage: string | undefined
  /** What the markers in the log have proven of the sink. */
  readonly proof: PartitionProof
  /** What walks through the stored values have found. */
  readonly scrub: ScrubStatus
}

/** The groups that are registered, by name. */
export async function groupNames(
  connection: Connection,
  keys: NamespaceKeys,
  deadlineMs: number,
): Promise<string[]> {
  const options = { doing: 'listing the groups', deadlineMs }
  const names = await persist(connection, options, (client) => client.hkeys(keys.partitions[0]!.groups))
  return names.filter((name) => name !== '').toSorted()
}

export async function groupStatus(
  connection: Connection,
  keys: NamespaceKeys,
  group: string,
  deadlineMs: number,
): Promise<PartitionStatus[]> {
  const options = { doing: 'reading how groups are steered', deadlineMs }
  const steering = steeringOf(
    await persist(connection, options, (client) => readSteering(client, keys)),
    group,
  )
  return await Promise.all(
    keys.partitions.map(async (of, partition) => ({
      ...(await partitionStatus(connection, of, partition, group, deadlineMs)),
      paused: steering.paused || steering.pausedPartitions.includes(partition),
    })),
  )
}

async function partitionStatus(
  connection: Connection,
  keys: PartitionKeys,
  partition: number,
  group: string,
  deadlineMs: number,
): Promise<Omit<PartitionStatus, 'paused'>> {
  const options = { doing: `reading the status of the group ${group}`, deadlineMs }
  const [record, sequence, pending, parked, [seconds, microseconds]] = await persist(
    connection,
    options,
    (client) =>
      Promise.all([
        client.hgetall(keys.group(group)),
        client.hget(keys.header, 'sequence'),
        client.xpending(keys.log, group).catch(noGroup),
        client.hlen(keys.parkedKeys(group)),
        client.time(),
      ]),
  )
  const now = Number(seconds) * 1_000 + Number(microseconds) / 1_000
  const checkpoint = parseCheckpoint(record['checkpoint'])
  return {
    group,
    partition,
    owner: Number(record['expires'] ?? 0) > now ? record['owner'] : undefined,
    checkpoint: formatPosition(partition, checkpoint),
    lag: Math.max(0, Number(sequence) - checkpoint.sequence),
    pending: Number(pending[0]),
    // The empty field stands for nobody.
    parked: Math.max(0, parked - 1),
    standstill: record['standstill'],
    copying: copyStatus(record['copy']),
    damage: record['damage'],
    proof: parseProof(record, partition, now),
    scrub: parseScrubStatus(record, now),
  }
}

function copyStatus(text: string | undefined): CopyStatus | undefined {
  if (text === undefined) return undefined
  const { copied, total } = parseCopyProgress(text)
  return { copied, total }
}

/** A group that has disappeared from the stream has nothing pending; its worker makes it again. */
function noGroup(error: Error): unknown[] {
  if (error.message.startsWith('NOGROUP')) return [0]
  throw error
}
