import { compareStamps, parsePosition, type FeedChange, type Log, type Position } from '@headwater/core'
import { changeJson, changeText } from '../change-line.ts'
import { CliError } from '../cli-error.ts'
import type { Invocation } from '../invocation.ts'
import { mergeByTime } from '../merge-by-time.ts'
import { openLog } from '../open-log.ts'

export interface TailOptions {
  readonly partition?: readonly number[]
  /** `beginning`, `now` (the default), or positions. */
  readonly from?: readonly string[]
  readonly limit?: number
  /** Whether to wait for more at the end. Default true. */
  readonly follow?: boolean
}

/** Shows changes as they come: first what is in the log, in the order of time, then the live feed. */
export async function tail(
  { options, output }: Invocation,
  { follow = true, limit = Number.POSITIVE_INFINITY, ...where }: TailOptions,
): Promise<void> {
  await using log = await openLog(options)
  const starts = await startsOf(log, where)
  let shown = 0
  const show = async (change: FeedChange): Promise<void> => {
    await output.result(changeJson(change), () => changeText(output, change))
    shown++
  }
  // Before the log is read: what is appended from now on comes by the feed, if reading has not come to it already.
  await using feed = follow ? log.feedAll() : undefined
  await feed?.started
  const parts = [...starts].map(([partition, from]) => log.read(partition, from))
  for await (const change of mergeByTime(parts)) {
    await show(change)
    starts.set(change.partition, change.position)
    if (shown >= limit) return
  }
  if (!feed) return
  for await (const change of feed) {
    const start = starts.get(change.partition)
    if (start === undefined || !isAfter(change, start)) continue
    await show(change)
    if (shown >= limit) return
  }
}

function isAfter({ stamp }: FeedChange, start: 'beginning' | Position): boolean {
  return start === 'beginning' || compareStamps(stamp, parsePosition(start)) > 0
}

/** Where to begin in each partition that is asked for. */
async function startsOf(
  log: Log,
  { partition: partitions, from = ['now'] }: Pick<TailOptions, 'partition' | 'from'>,
): Promise<Map<number, 'beginning' | Position>> {
  const [first = 'now'] = from
  const named = from.length === 1 && (first === 'beginning' || first === 'now')
  if (!named) return startsAt(from, partitions)
  const starts = new Map<number, 'beginning' | Position>()
  for (const partition of partitions ?? Array.from({ length: log.partitions }, (_, at) => at)) {
    // Asked in either case: it refuses partitions that do not exist.
    const end = await log.end(partition)
    starts.set(partition, first === 'now' ? end : 'beginning')
  }
  return starts
}

/** Positions name their partitions, so `--partition` has nothing to add to them. */
function startsAt(
  from: readonly string[],
  partitions: readonly number[] | undefined,
): Map<number, 'beginning' | Position> {
  if (partitions)
    throw new CliError('USAGE', 'Positions say which partitions to show: leave --partition out.')
  const starts = new Map<number, Position>()
  for (const text of from) {
    if (text === 'beginning' || text === 'now') {
      throw new CliError(
        'USAGE',
        `--from takes beginning, now, or positions, not ${text} together with others.`,
      )
    }
    const { partition } = parsePosition(text)
    if (starts.has(partition)) {
      throw new CliError('USAGE', `--from names two positions in partition ${partition}.`)
    }
    starts.set(partition, text as Position)
  }
  return starts
}
