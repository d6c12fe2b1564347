import {
  applied,
  HeadwaterError,
  readablePayload,
  reject,
  stale,
  type Change,
  type Outcome,
  type SinkPosition,
} from '@headwater/core'
import { source as applySource } from './apply.lua.ts'
import { toHashFields } from './hash-fields.ts'
import { source as partitionSource } from './partition.lua.ts'
import {
  formatFence,
  formatPosition,
  partitionName,
  refuseUnlessDone,
  type PartitionRight,
} from './partition-scripts.ts'
import type { Place } from './redis-keys.ts'
import { dataType, runScript, type RedisTarget } from './redis-target.ts'
import { textReply } from './reply.ts'
import { rowRecord } from './row-record.ts'
import { script } from './script.ts'
import { source as sumsSource } from './sums.lua.ts'

const applyScript = script(partitionSource, sumsSource, applySource)

/** A change in the words of Redis. */
export interface Write {
  readonly change: Change
  /** Where it stands among the changes that are applied together. */
  readonly at: number
  readonly dataKey: string
  /** None for a delete; the string, or fields and contents. */
  readonly parts: readonly string[]
}

/** @throws HeadwaterError SINK_REJECTED when the entity has no usable data key, or its value does not fit the layout */
export function toWrite({ dataKeys, layout }: RedisTarget, change: Change, at: number): Write {
  return { change, at, dataKey: dataKeys.of(change.key), parts: partsOf(change, layout) }
}

/**
 * @throws HeadwaterError CHANGE_UNREADABLE, UPCAST_FAILED when there is no value; SINK_REJECTED when it does not fit the
 *   layout
 */
export function partsOf(change: Change, layout: RedisTarget['layout']): readonly string[] {
  if (change.kind === 'delete') return []
  return layout === 'json' ? [readablePayload(change)] : toHashFields(change.value)
}

export interface ApplyOptions {
  readonly place: Place
  readonly right: PartitionRight
  /** `same`: the fence must be the one that `open` stored. `newest`: `open` wrote elsewhere, and the fence comes along. */
  readonly fenceRule: 'same' | 'newest'
  /** The position that is stored in the same step, and the calls confirmed so far; none where they are kept elsewhere. */
  readonly progress?: { readonly position: SinkPosition; readonly calls: number }
}

export interface Applied {
  /** One for each write. */
  readonly outcomes: readonly Outcome[]
  /** The calls confirmed now; 0 where they are counted elsewhere. */
  readonly calls: number
}

/**
 * Applies writes of one place in one atomic step.
 *
 * @throws HeadwaterError SINK_FENCED, SINK_UNAVAILABLE, SINK_MISCONFIGURED: then nothing was written
 */
export async function applyWrites(
  target: RedisTarget,
  writes: readonly Write[],
  { place, right, fenceRule, progress }: ApplyOptions,
): Promise<Applied> {
  const sums = target.keys.sumsOf?.(right.partition) ?? place.fences
  const keys = [place.rows, place.fences, sums, ...writes.map(({ dataKey }) => dataKey)]
  const args: (string | Buffer)[] = [
    partitionName(right),
    formatFence(right.fence),
    fenceRule,
    progress ? formatPosition(progress.position) : '',
    String(progress?.calls ?? 0),
    dataType(target.layout),
  ]
  for (const { change, parts } of writes) {
    args.push(rowRecord(change))
    if (target.layout === 'json') {
      args.push(parts[0] ?? '')
    } else {
      args.push(String(parts.length))
      for (const part of parts) args.push(part)
    }
  }
  const reply = textReply(await runScript(target, applyScript, { keys, args }))
  const [answer = '', detail = '', letters = '', ...obstacles] = reply
  refuseUnlessDone(target, right, answer, detail)
  let met = 0
  const outcomes = writes.map((write, index) => {
    const letter = letters[index]
    if (letter === 'a') return applied
    if (letter === 's') return stale
    return rejected(write, letter === 't' ? 'taken' : 'type', obstacles[met++] ?? '')
  })
  return { outcomes, calls: Number(detail) }
}

/** @param obstacle the entity that the data key is taken by, or the type of what is there */
function rejected({ change, dataKey }: Write, problem: 'taken' | 'type', obstacle: string): Outcome {
  const what =
    problem === 'taken'
      ? `belongs to the entity ${JSON.stringify(obstacle)}. The option \`key\` must give each entity a key of its own.`
      : `holds a ${obstacle}, which is not ours to overwrite. Move it away, or give the entities other keys.`
  return reject(
    new HeadwaterError(
      'SINK_REJECTED',
      `The entity ${JSON.stringify(change.key)} cannot be stored: its Redis key ${JSON.stringify(dataKey)} ${what}`,
    ),
  )
}
