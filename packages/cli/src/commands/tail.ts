import { setTimeout as pause } from 'node:timers/promises'
import { parsePosition, type Change, type Log, type Position } from '@headwater/core'
import { CliError } from '../cli-error.ts'
import type { Invocation } from '../invocation.ts'
import { mergeByTime } from '../merge-by-time.ts'
import { openLog } from '../open-log.ts'
import { printable, type Output } from '../output.ts'

export interface TailOptions {
  readonly partition?: readonly number[]
  /** `beginning`, `now` (the default), or positions. */
  readonly from?: readonly string[]
  readonly limit?: number
  /** Whether to wait for more at the end. Default true. */
  readonly follow?: boolean
}

/** How long to wait at the end of the log before looking again, in ms: doubled while nothing comes. */
const idleMs = { min: 20, max: 320 }

/** Shows changes as they come. */
export async function tail(
  { options, output }: Invocation,
  { follow = true, limit = Number.POSITIVE_INFINITY, ...where }: TailOptions,
): Promise<void> {
  await using log = await openLog(options)
  const starts = await startsOf(log, where)
  let shown = 0
  for (let waitMs = idleMs.min; ; waitMs = Math.min(idleMs.max, waitMs * 2)) {
    const parts = [...starts].map(([partition, from]) => log.read(partition, from))
    for await (const change of mergeByTime(parts)) {
      await output.result(changeJson(change), () => changeText(output, change))
      starts.set(change.partition, change.position)
      waitMs = idleMs.min
      if (++shown >= limit) return
    }
    if (!follow) return
    await pause(waitMs)
  }
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

function changeJson(change: Change): object {
  const { position, partition, collection, key, kind, version, schemaVersion, time, value, metadata } = change
  return {
    position,
    partition,
    collection,
    key,
    kind,
    version,
    schemaVersion,
    time: new Date(time).toISOString(),
    value: value ?? null,
    metadata,
  }
}

/** On a terminal one line a change, cut at its edge; elsewhere whole. */
function changeText(output: Output, change: Change): string {
  const { position, collection, key, kind, version, time, payload, metadata } = change
  const head = `${new Date(time).toISOString()}  ${position}  `
  const what = `${collection}/${printable(key)}  ${version}  `
  const notes = Object.entries(metadata).map(([name, value]) => `${printable(name)}=${printable(value)}`)
  const rest = [kind === 'delete' ? 'deleted' : printable(payload), ...notes].join('  ')
  const room = (output.columns ?? Number.POSITIVE_INFINITY) - head.length - what.length
  const cut = rest.length > room ? `${rest.slice(0, Math.max(0, room - 1))}…` : rest
  return `${output.style('dim', head)}${what}${kind === 'delete' ? output.style('red', cut) : cut}`
}
