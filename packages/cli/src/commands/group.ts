import {
  HeadwaterError,
  retention,
  retireGroup,
  type Log,
  type PartitionStatus,
  type RetentionReport,
} from '@headwater/core'
import { didYouMean } from '../did-you-mean.ts'
import type { Invocation } from '../invocation.ts'
import { openLog } from '../open-log.ts'
import { count } from '../output.ts'
import { size } from '../quantities.ts'
import { table } from '../table.ts'
import { groupsTable, statusJson } from './status.ts'

interface GroupSummary {
  readonly group: string
  /** When it was registered, in ms since 1970. */
  readonly since: number
  readonly partitions: number
  /** Partitions that a worker holds. */
  readonly owned: number
  readonly lag: number
  readonly parked: number
  readonly damaged: number
  /** What the log keeps for it. */
  readonly keeps: { readonly changes: number; readonly bytes: number }
}

/** One row a group. */
export async function listGroups({ options, output }: Invocation): Promise<void> {
  await using log = await openLog(options)
  const [statuses, report] = await Promise.all([log.groups(), retention(log)])
  const groups = [...new Set(statuses.map(({ group }) => group))].map((group) =>
    summaryOf(group, statuses, report),
  )
  await output.result({ groups }, () => {
    if (groups.length === 0) return 'No group is registered: the first worker that runs one registers it.'
    return table<GroupSummary>(
      [
        { title: 'group', text: ({ group }) => group },
        { title: 'since', text: ({ since }) => new Date(since).toISOString() },
        { title: 'owned', align: 'right', text: ({ owned, partitions }) => `${owned}/${partitions}` },
        { title: 'lag', align: 'right', text: ({ lag }) => count(lag) },
        { title: 'parked', align: 'right', text: ({ parked }) => count(parked) },
        { title: 'keeps', align: 'right', text: ({ keeps }) => count(keeps.changes) },
        { title: 'memory', align: 'right', text: ({ keeps }) => size(keeps.bytes) },
        {
          title: '',
          text: ({ damaged }) => (damaged > 0 ? 'damaged' : ''),
          style: (_, text) => output.style('red', text),
        },
      ],
      groups,
    )
  })
}

/** Every partition of one group. */
export async function showGroup({ options, output }: Invocation, group: string): Promise<void> {
  await using log = await openLog(options)
  const statuses = await statusesOf(log, group)
  const summary = summaryOf(group, statuses, await retention(log))
  await output.result({ ...summary, partitions: statuses.map(statusJson) }, () =>
    [
      `${group}: registered ${new Date(summary.since).toISOString()}; the log keeps ${count(summary.keeps.changes)} changes for it (${size(summary.keeps.bytes)})`,
      groupsTable(output, statuses),
      ...statuses.flatMap(({ partition, damage }) =>
        damage === undefined ? [] : [output.style('red', `${partition}: ${damage}`)],
      ),
    ].join('\n'),
  )
}

export interface RetireFlags {
  readonly force?: boolean
}

/** Forgets a group. */
export async function retire(
  { options, output }: Invocation,
  group: string,
  { force = false }: RetireFlags,
): Promise<void> {
  await using log = await openLog(options)
  const { lag, parked } = summaryOf(group, await statusesOf(log, group), await retention(log))
  await retireGroup(log, group, { force })
  await output.result({ retired: group, lag, parked }, () => {
    return `${group} is retired: ${count(lag)} changes it had not applied and ${count(parked)} parked keys are dropped. What its sink holds is still there.`
  })
}

async function statusesOf(log: Log, group: string): Promise<PartitionStatus[]> {
  const all = await log.groups()
  const statuses = all.filter((status) => status.group === group)
  if (statuses.length > 0) return statuses
  const known = [...new Set(all.map((status) => status.group))]
  throw new HeadwaterError(
    'GROUP_UNKNOWN',
    `No group ${JSON.stringify(group)} is registered; there are ${known.join(', ') || 'none'}.${didYouMean(group, known)}`,
  )
}

function summaryOf(group: string, all: readonly PartitionStatus[], report: RetentionReport): GroupSummary {
  const statuses = all.filter((status) => status.group === group)
  const holders = report.partitions.flatMap((partition) =>
    partition.holders.filter(({ kind, name }) => kind === 'group' && name === group),
  )
  return {
    group,
    since: holders[0]?.since ?? 0,
    partitions: statuses.length,
    owned: statuses.filter(({ owner }) => owner !== undefined).length,
    lag: sum(statuses, ({ lag }) => lag),
    parked: sum(statuses, ({ parked }) => parked),
    damaged: statuses.filter(({ damage }) => damage !== undefined).length,
    keeps: { changes: sum(holders, ({ changes }) => changes), bytes: sum(holders, ({ bytes }) => bytes) },
  }
}

function sum<Row>(rows: readonly Row[], of: (row: Row) => number): number {
  return rows.reduce((total, row) => total + of(row), 0)
}
