import {
  isHeadwaterError,
  retention,
  type Log,
  type PartitionProof,
  type PartitionStatus,
  type SteeringState,
  type StoredCollection,
} from '@headwater/core'
import type { Invocation } from '../invocation.ts'
import { openLog } from '../open-log.ts'
import { count, duration, type Output } from '../output.ts'
import { size } from '../quantities.ts'
import { table } from '../table.ts'
import { showOrWatch, type WatchFlag } from '../watch.ts'
import { steeringText } from './steering.ts'

export interface StatusFlags {
  readonly watch?: WatchFlag
}

/** Shows how far every group is in every partition. */
export async function status({ options, output }: Invocation, { watch }: StatusFlags): Promise<void> {
  await using log = await openLog(options)
  const { namespace, partitions } = log
  await showOrWatch(output, watch, async () => {
    const [collections, groups, tooLarge, steering] = await Promise.all([
      log.collections(),
      log.groups(),
      streamsTooLarge(log),
      log.steering.state(),
    ])
    const text = (): string => {
      const summary = `${namespace}: ${partitions} partitions; ${collectionsText(collections)}`
      if (groups.length === 0)
        return `${summary}\nNo group is registered: the first worker that runs one registers it.`
      const lines = [
        ...damages(output, groups),
        ...standstills(output, groups),
        ...steered(output, steering),
        ...doubts(output, groups),
        ...findings(output, groups),
        ...warnings(output, tooLarge),
      ]
      return [summary, groupsTable(output, groups), ...lines].join('\n')
    }
    return {
      json: { namespace, partitions, collections, groups: groups.map(statusJson), tooLarge, steering },
      text,
    }
  })
}

/** With null for what is not there, so that every row has every property. */
export function statusJson({
  owner,
  copying,
  standstill,
  damage,
  proof,
  scrub,
  ...rest
}: PartitionStatus): object {
  const { verifiedUpTo = null, verifiedMsAgo = null, latest = null, reason = null } = proof
  return {
    ...rest,
    owner: owner ?? null,
    copying: copying ?? null,
    standstill: standstill ?? null,
    damage: damage ?? null,
    proof: { verifiedUpTo, verifiedMsAgo, latest, reason },
    scrub: { ...scrub, completedMsAgo: scrub.completedMsAgo ?? null, current: scrub.current ?? null },
  }
}

/** During a first copy the checkpoint only says from where the log is read afterwards. */
function checkpointText({ checkpoint, copying }: PartitionStatus): string {
  if (!copying) return checkpoint
  const { copied, total } = copying
  return total === 0 ? 'copying' : `copying ${Math.min(99, Math.floor((copied / total) * 100))} %`
}

function collectionsText(collections: readonly StoredCollection[]): string {
  if (collections.length === 0) return 'no collections yet'
  const names = collections.map(({ name, state }) => (state === 'values' ? name : `${name} (${state} only)`))
  return `collections ${names.join(', ')}`
}

export function groupsTable(output: Output, groups: readonly PartitionStatus[]): string {
  const warn = (number: number, text: string): string => (number > 0 ? output.style('yellow', text) : text)
  return table<PartitionStatus>(
    [
      { title: 'group', text: ({ group }) => group },
      { title: 'partition', align: 'right', text: ({ partition }) => String(partition) },
      {
        title: 'owner',
        text: ({ owner }) => owner ?? 'nobody',
        style: ({ owner }, text) => (owner === undefined ? output.style('dim', text) : text),
      },
      {
        title: 'checkpoint',
        text: checkpointText,
        style: ({ copying }, text) => (copying ? output.style('yellow', text) : text),
      },
      {
        title: 'lag',
        align: 'right',
        text: ({ lag }) => count(lag),
        style: ({ lag }, text) => warn(lag, text),
      },
      { title: 'pending', align: 'right', text: ({ pending }) => count(pending) },
      {
        title: 'parked',
        align: 'right',
        text: ({ parked }) => count(parked),
        style: ({ parked }, text) => warn(parked, text),
      },
      {
        title: 'verified',
        text: ({ proof }) => verifiedText(proof),
        style: ({ proof }, text) => (proof.latest === 'different' ? output.style('red', text) : text),
      },
      {
        title: 'damage',
        text: ({ damage }) => (damage === undefined ? '' : 'damaged'),
        style: (_, text) => output.style('red', text),
      },
    ],
    groups,
  )
}

/** Up to where and how long ago the sink was last proven equal; or that it is not. */
function verifiedText({ verifiedUpTo, verifiedMsAgo = 0, latest }: PartitionProof): string {
  if (latest === 'different') return 'different'
  if (verifiedUpTo === undefined) return latest === undefined ? 'not yet' : 'not provable'
  return `${verifiedUpTo}, ${duration(Math.round(verifiedMsAgo / 1_000))} ago`
}

/** Partitions that have no room to park. */
function standstills(output: Output, groups: readonly PartitionStatus[]): string[] {
  return groups
    .filter(({ standstill }) => standstill !== undefined)
    .map(({ group, partition, standstill }) =>
      output.style('red', `${group}/${partition} stands still: ${standstill}`),
    )
}

/** What somebody changed at run time. */
function steered(output: Output, { groups, drained }: SteeringState): string[] {
  return [
    ...Object.entries(groups).map(([group, of]) => `${group}: ${steeringText(of)}`),
    ...Object.keys(drained).map((worker) => `${worker}: drained`),
  ].map((line) => output.style('yellow', line))
}

/** What the last walk through the stored values has found, or the present one so far. */
function findings(output: Output, groups: readonly PartitionStatus[]): string[] {
  return groups.flatMap(({ group, partition, scrub: { current, ...last } }) => {
    const { keys, found } = current && current.found > 0 ? current : last
    if (found === 0) return []
    return [output.style('red', `${group}/${partition} scrub: ${count(found)} of ${count(keys)} keys differ`)]
  })
}

/** Why a sink was not proven equal the last time. That a first copy runs the table says already. */
function doubts(output: Output, groups: readonly PartitionStatus[]): string[] {
  return groups
    .filter(({ proof, copying }) => proof.reason !== undefined && copying === undefined)
    .map(({ group, partition, proof }) => {
      const line = `${group}/${partition} ${proof.latest === 'different' ? 'differs' : 'not provable'}: ${proof.reason}`
      return proof.latest === 'different' ? output.style('red', line) : line
    })
}

function damages(output: Output, groups: readonly PartitionStatus[]): string[] {
  return groups
    .filter(({ damage }) => damage !== undefined)
    .map(({ group, partition, damage }) => output.style('red', `${group}/${partition}: ${damage}`))
}

/** A stream that a Cluster may not be able to move, with its bytes and how many are advised at most. */
interface LargeStream {
  readonly partition: number
  readonly bytes: number
  readonly bytesAdvised: number
}

async function streamsTooLarge(log: Log): Promise<LargeStream[]> {
  try {
    const { partitions, bytesAdvised = Number.POSITIVE_INFINITY } = await retention(log)
    return partitions.flatMap(({ partition, bytes }) =>
      bytes > bytesAdvised ? [{ partition, bytes, bytesAdvised }] : [],
    )
  } catch (error) {
    // Who may not ask for memory still sees how far the groups are.
    if (isHeadwaterError(error, 'REDIS_REFUSED')) return []
    throw error
  }
}

function warnings(output: Output, streams: readonly LargeStream[]): string[] {
  return streams.map(({ partition, bytes, bytesAdvised }) =>
    output.style(
      'yellow',
      `The stream of partition ${partition} takes ${size(bytes)}: above ${size(bytesAdvised)} its slot of the Cluster may fail to move.`,
    ),
  )
}
