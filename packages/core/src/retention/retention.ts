import { formatPosition, type Position } from '../change/position.ts'
import { stampZero, type Stamp } from '../change/stamp.ts'
import { parseCheckpoint } from '../group/checkpoint.ts'
import { groupNames } from '../group/group-status.ts'
import { parseHeader, survivedUpTo, type Header } from '../log/header.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { isCluster } from '../redis/node-of-key.ts'
import { persist } from '../redis/persist.ts'
import { recordRetention } from '../telemetry/retention-metrics.ts'
import { readHolds, type HoldKind } from './holds.ts'
import { retentionSettings, type RetentionSettings } from './settings.ts'

/** Who needs the log, and what that costs. */
export interface RetentionReport extends RetentionSettings {
  readonly partitions: readonly PartitionRetention[]
  /** On a Cluster: the bytes above which a partition's stream may be too large for its slot to move. Elsewhere undefined. */
  readonly bytesAdvised: number | undefined
}

/** What one partition keeps, and for whom. */
export interface PartitionRetention {
  readonly partition: number
  /** Of the newest change. */
  readonly end: Position
  /** Up to which sequence everything was trimmed. */
  readonly trimmed: number
  /** Changes in the stream. */
  readonly changes: number
  /** Memory that the stream takes, as Redis estimates it from a sample of it. */
  readonly bytes: number
  /** Whoever is registered, the one that needs the most first. */
  readonly holders: readonly Holder[]
}

/** A group, or a hold. */
export interface Holder {
  readonly kind: 'group' | HoldKind
  readonly name: string
  /** Who took a hold; undefined for a group. */
  readonly owner: string | undefined
  /** When it was registered, in ms since 1970 by the clock of the Redis server. */
  readonly since: number
  /** Needs what is behind it. */
  readonly after: Position
  /** Changes in the stream that it needs. */
  readonly changes: number
  /** Their part of the stream's memory, as if all changes were of one size. */
  readonly bytes: number
  /** In how many ms it holds nothing back any more; undefined for what does not expire. */
  readonly leftMs: number | undefined
}

/** A key is moved as one command, and with larger ones the receiving node times out or is counted as failed. */
const movableBytes = 128 * 1_048_576

/** Entries that the memory of a stream is estimated from. */
const samples = 100

/**
 * Who holds the log back, partition by partition. Also records it as metrics.
 *
 * @throws HeadwaterError REDIS_REFUSED where the user may not call MEMORY USAGE
 */
export async function retention(log: Log): Promise<RetentionReport> {
  const parts = logParts(log)
  const { connection, keys, deadlineMs } = parts
  const [settings, groups] = await Promise.all([
    retentionSettings(log),
    groupNames(connection, keys, deadlineMs),
  ])
  const partitions = await Promise.all(
    keys.partitions.map((_, partition) => partitionRetention(parts, partition, groups)),
  )
  recordRetention(log, log.namespace, partitions)
  const onCluster = await persist(
    connection,
    { doing: 'looking at the client', deadlineMs },
    async (client) => isCluster(client),
  )
  return { ...settings, partitions, bytesAdvised: onCluster ? movableBytes : undefined }
}

async function partitionRetention(
  log: LogParts,
  partition: number,
  groups: readonly string[],
): Promise<PartitionRetention> {
  const { connection, keys, namespace, deadlineMs } = log
  const of = keys.partitions[partition]!
  const options = { doing: `reading who holds partition ${partition}`, deadlineMs }
  const [fields, registered, records, bytes] = await persist(connection, options, (client) =>
    Promise.all([
      client.hgetall(of.header),
      client.hgetall(of.groups),
      Promise.all(groups.map((group) => client.hmget(of.group(group), 'checkpoint', 'saved'))),
      client.memory('USAGE', of.log, 'SAMPLES', samples),
    ]),
  )
  const header = parseHeader(fields)
  if (!header) throw missingHeader(namespace, partition)
  const changes = header.sequence - header.trimmed
  const total = bytes ?? 0
  const needs = (after: Stamp): Pick<Holder, 'after' | 'changes' | 'bytes'> => {
    const needed = Math.min(changes, header.sequence - surviving(header, after))
    return {
      after: formatPosition(partition, after),
      changes: needed,
      bytes: changes === 0 ? 0 : Math.round((total * needed) / changes),
    }
  }
  const ofGroups = groups.map((name, at): Holder => {
    const [checkpoint, saved] = records[at]!
    return {
      kind: 'group',
      name,
      owner: undefined,
      since: Number(registered[name] ?? 0),
      ...needs(earlier(header, checkpoint, saved)),
      leftMs: undefined,
    }
  })
  const holds = (await readHolds(log, partition)).map(
    ({ kind, name, owner, since, after, leftMs }): Holder => ({
      kind,
      name,
      owner,
      since,
      ...needs(after),
      leftMs,
    }),
  )
  return {
    partition,
    end: formatPosition(partition, header),
    trimmed: header.trimmed,
    changes,
    bytes: total,
    holders: [...ofGroups, ...holds].toSorted((a, b) => b.changes - a.changes),
  }
}

/** From where a group's sink would go on if it were opened now; the very beginning where its record is gone. */
function earlier(
  header: Header,
  checkpoint: string | null | undefined,
  saved: string | null | undefined,
): Stamp {
  if (!checkpoint || !saved) return stampZero
  const [a, b] = [parseCheckpoint(checkpoint), parseCheckpoint(saved)]
  return surviving(header, a) <= surviving(header, b) ? a : b
}

function surviving(header: Header, stamp: Stamp): number {
  return Math.min(stamp.sequence, survivedUpTo(header, stamp))
}
