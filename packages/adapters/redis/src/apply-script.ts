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
  fenced,
  formatFence,
  formatPosition,
  partitionName,
  type PartitionRight,
} from './partition-scripts.ts'
import type { Place } from './redis-keys.ts'
import { dataType, runScript, type RedisTarget } from './redis-target.ts'
import { textReply } from './reply.ts'
import { rowRecord } from './row-record.ts'
import { script } from './script.ts'

const applyScript = script(partitionSource, applySource)

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
  /** Stored in the same step, where given. */
  readonly position?: SinkPosition
}

export type Outcomes = ReadonlyMap<Change, Outcome>

/**
 * Applies writes of one place in one atomic step.
 *
 * @returns an outcome for the change of each write
 * @throws HeadwaterError SINK_FENCED, SINK_UNAVAILABLE, SINK_MISCONFIGURED: then nothing was written
 */
export async function applyWrites(
  target: RedisTarget,
  writes: readonly Write[],
  { place, right, fenceRule, position }: ApplyOptions,
): Promise<Outcomes> {
  const keys = [place.rows, place.fences, ...writes.map(({ dataKey }) => dataKey)]
  const args: (string | Buffer)[] = [
    partitionName(right),
    formatFence(right.fence),
    fenceRule,
    position ? formatPosition(position) : '',
    dataType(target.layout),
  ]
  for (const { change, parts } of writes) {
    args.push(rowRecord(change), String(parts.length))
    for (const part of parts) args.push(part)
  }
  const [answer, ...details] = textReply(await runScript(target, applyScript, { keys, args }))
  if (answer === 'fenced') throw fenced(target, right, details[0] ?? '')
  return new Map(writes.map((write, index) => [write.change, outcomeOf(write, details[index] ?? '')]))
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
