import {
  HeadwaterError,
  type Change,
  type Entity,
  type Log,
  type Moment,
  type Position,
  type Version,
} from '@headwater/core'
import { changeJson, changeText } from '../change-line.ts'
import { CliError } from '../cli-error.ts'
import type { Invocation } from '../invocation.ts'
import { mergeByTime } from '../merge-by-time.ts'
import { openToLookBack, openToRead, type LookBack } from '../open-log.ts'
import { printable } from '../output.ts'

export interface HistoryFlags {
  /** End after so many changes. */
  readonly limit?: number
  /** Show the value as of this version, time or position instead. */
  readonly at?: string
}

/** Shows every change of a key that the log still has, or the value that it had at a moment. */
export async function history(
  invocation: Invocation,
  name: string,
  key: string,
  { limit = Number.POSITIVE_INFINITY, at }: HistoryFlags,
): Promise<void> {
  if (at !== undefined) return await valueAt(invocation, name, key, momentOf(at))
  const { options, output } = invocation
  await using opened = await openToLookBack(options, name)
  let shown = 0
  for await (const change of changesOf(opened, name, key)) {
    await output.result(changeJson(change), () => changeText(output, change))
    if (++shown >= limit) return
  }
  if (shown > 0) return
  throw new HeadwaterError('KEY_ABSENT', `The log has no change of key ${JSON.stringify(key)} of ${name}.`)
}

function changesOf({ log, collection }: LookBack, name: string, key: string): AsyncIterable<Change> {
  return collection ? log.history(collection, key) : changesAnywhere(log, name, key)
}

/** Only a definition tells in which partition a key is; without it, all are read. */
async function* changesAnywhere(log: Log, name: string, key: string): AsyncGenerator<Change> {
  const partitions = Array.from({ length: log.partitions }, (_, partition) => log.read(partition))
  for await (const change of mergeByTime(partitions)) {
    if (change.collection === name && change.key === key) yield change
  }
}

async function valueAt(
  { options, output }: Invocation,
  name: string,
  key: string,
  moment: Moment,
): Promise<void> {
  await using opened = await openToRead(options, name)
  const entity: Entity<unknown> | undefined = await opened.log.getAt(opened.collection, key, moment)
  if (!entity)
    throw new HeadwaterError('KEY_ABSENT', `Key ${JSON.stringify(key)} of ${name} was absent then.`)
  const { value, version, position } = entity
  await output.result({ collection: name, key, value, version, position }, () => {
    const head = `${name}/${printable(key)}  version ${version}  position ${position}`
    return `${output.style('dim', head)}\n${JSON.stringify(value, undefined, 2)}`
  })
}

/** `7` and `7@2` are versions, `3:1-17` is a position, and everything else must be a time. */
function momentOf(text: string): Moment {
  if (/^\d+(@\d+)?$/.test(text)) return { version: text as Version }
  if (/^\d+:\d+-\d+$/.test(text)) return { position: text as Position }
  const time = Date.parse(text)
  if (!Number.isNaN(time)) return { time }
  throw new CliError(
    'USAGE',
    `--at takes a version such as 7, a position, or a time such as 2026-01-31T12:00:00Z, not ${JSON.stringify(text)}.`,
  )
}
