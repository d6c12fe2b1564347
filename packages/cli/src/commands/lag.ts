import { HeadwaterError, isHeadwaterError, type Log, type PartitionStatus } from '@headwater/core'
import { didYouMean } from '../did-you-mean.ts'
import type { Invocation } from '../invocation.ts'
import { openLog } from '../open-log.ts'
import { count, duration, type Output } from '../output.ts'
import { table } from '../table.ts'
import { showOrWatch, type WatchFlag } from '../watch.ts'

export interface LagFlags {
  /** End with 1 where a group is further behind, in changes. */
  readonly max?: number
  readonly watch?: WatchFlag
}

interface GroupLag {
  readonly group: string
  /** Changes behind the checkpoints, over all partitions. */
  readonly lag: number
  /** How long the oldest of them has waited, by the clocks of Redis and of this machine; null where none does, or it is gone. */
  readonly waitingSeconds: number | null
  /** Partitions in which changes wait. */
  readonly behind: readonly number[]
  /** Partitions that no worker holds. */
  readonly unowned: readonly number[]
  readonly parked: number
}

/** Shows how far groups are behind, in changes and in time. */
export async function lag(
  { options, output }: Invocation,
  names: readonly string[],
  { max, watch }: LagFlags,
): Promise<void> {
  await using log = await openLog(options)
  await showOrWatch(output, watch, async () => {
    const groups = await lagsOf(log, names)
    const isOver = max !== undefined && groups.some(({ lag }) => lag > max)
    process.exitCode = isOver ? 1 : 0
    return { json: { namespace: log.namespace, groups }, text: () => textOf(output, groups) }
  })
}

async function lagsOf(log: Log, names: readonly string[]): Promise<GroupLag[]> {
  const partitions = await log.groups()
  const known = [...new Set(partitions.map(({ group }) => group))]
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined) {
    throw new HeadwaterError(
      'GROUP_UNKNOWN',
      `No group ${JSON.stringify(unknown)} is registered; there are ${known.join(', ') || 'none'}.${didYouMean(unknown, known)}`,
    )
  }
  const asked = names.length > 0 ? names : known
  return await Promise.all(asked.map((name) => lagOf(log, name, partitions)))
}

async function lagOf(log: Log, group: string, all: readonly PartitionStatus[]): Promise<GroupLag> {
  const partitions = all.filter((of) => of.group === group)
  const behind = partitions.filter(({ lag }) => lag > 0)
  const times = await Promise.all(behind.map((of) => timeOfNext(log, of)))
  const oldest = Math.min(...times)
  return {
    group,
    lag: partitions.reduce((sum, { lag }) => sum + lag, 0),
    waitingSeconds: Number.isFinite(oldest) ? Math.max(0, Date.now() - oldest) / 1_000 : null,
    behind: behind.map(({ partition }) => partition),
    unowned: partitions.filter(({ owner }) => owner === undefined).map(({ partition }) => partition),
    parked: partitions.reduce((sum, { parked }) => sum + parked, 0),
  }
}

/** When the first change behind the checkpoint was appended; infinite where the log does not have it, or has no more. */
async function timeOfNext(log: Log, { partition, checkpoint }: PartitionStatus): Promise<number> {
  try {
    for await (const { time } of log.read(partition, checkpoint, { limit: 1 })) return time
  } catch (error) {
    // What is missing there is for `status` to tell, and how many changes wait is known all the same.
    if (!isHeadwaterError(error, 'LOG_DAMAGED') && !isHeadwaterError(error, 'HISTORY_TRIMMED')) throw error
  }
  return Number.POSITIVE_INFINITY
}

function textOf(output: Output, groups: readonly GroupLag[]): string {
  if (groups.length === 0) return 'No group is registered: the first worker that runs one registers it.'
  const warn = (isWrong: boolean, text: string): string => (isWrong ? output.style('yellow', text) : text)
  return table<GroupLag>(
    [
      { title: 'group', text: ({ group }) => group },
      {
        title: 'lag',
        align: 'right',
        text: ({ lag }) => count(lag),
        style: ({ lag }, text) => warn(lag > 0, text),
      },
      {
        title: 'waiting',
        align: 'right',
        text: ({ waitingSeconds }) => (waitingSeconds === null ? '' : duration(waitingSeconds)),
      },
      { title: 'behind in', text: ({ behind }) => behind.join(' ') },
      {
        title: 'nobody works at',
        text: ({ unowned }) => unowned.join(' '),
        style: (_, text) => warn(true, text),
      },
      {
        title: 'parked',
        align: 'right',
        text: ({ parked }) => count(parked),
        style: ({ parked }, text) => warn(parked > 0, text),
      },
    ],
    groups,
  )
}
