import {
  applied,
  HeadwaterError,
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
  readonly dataKey: string
  /** None for a delete; the string, or fields and contents. */
  readonly parts: readonly string[]
}

/** @throws HeadwaterError SINK_REJECTED when the entity has no usable data key, or its value does not fit the layout */
export function toWrite({ dataKeys, layout }: RedisTarget, change: Change): Write {
  return { change, dataKey: dataKeys.of(change.key), parts: partsOf(change, layout) }
}

function partsOf({ kind, payload, value }: Change, layout: RedisTarget['layout']): readonly string[] {
  if (kind === 'delete') return []
  return layout === 'json' ? [payload] : toHashFields(value)
}

export interface ApplyOptions {
  readonly place: Place
  readonly right: PartitionRight
  /** `same`: the fence must be the one that `open` stored. `newest`: `open` wrote elsewhere, and the fence comes along. */
  readonly fenceRule: 'same' | 'newest'
  /** The position that is stored in the same step, and the calls confirmed so far; none where they are kept elsewhere. */
  readonly progress?: { readonly position: SinkPosition; readonly calls: number }
}

export type Outcomes = ReadonlyMap<Change, Outcome>

export interface Applied {
  /** One for the change of each write. */
  readonly outcomes: Outcomes
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
    args.push(rowRecord(change), String(parts.length))
    for (const part of parts) args.push(part)
  }
  const reply = textReply(await runScript(target, applyScript, { keys, args }))
  const [answer = '', detail = '', ...answers] = reply
  refuseUnlessDone(target, right, answer, detail)
  const outcomes = writes.map(
    (write, index) => [write.change, outcomeOf(write, answers[index] ?? '')] as const,
  )
  return { outcomes: new Map(outcomes), calls: Number(detail) }
}

function outcomeOf({ change, dataKey }: Write, answer: string): Outcome {
  if (answer === 'applied') return applied
  if (answer === 'stale') return stale
  const [, problem, detail] = /^(\w+) (.*)$/s.exec(answer) ?? []
  const what =
    problem === 'taken'
      ? `belongs to the entity ${JSON.stringify(detail)}. The option \`key\` must give each entity a key of its own.`
      : `holds a ${detail}, which is not ours to overwrite. Move it away, or give the entities other keys.`
  return reject(
    new HeadwaterError(
      'SINK_REJECTED',
      `The entity ${JSON.stringify(change.key)} cannot be stored: its Redis key ${JSON.stringify(dataKey)} ${what}`,
    ),
  )
}
