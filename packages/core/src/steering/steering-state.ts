import type { NamespaceKeys } from '../namespace/keys.ts'
import type { RedisClient } from '../redis/connection.ts'

/** How a group is steered at run time, over what its workers were started with. */
export interface GroupSteering {
  /** Nothing is given to the sink, in no partition. */
  readonly paused: boolean
  /** Partitions that are paused by themselves. */
  readonly pausedPartitions: readonly number[]
  /** How many calls of one partition may be at the sink at once; undefined: as the worker was started. */
  readonly concurrency: number | undefined
  /** At most so many changes a second are given to the sink, each partition its even share; undefined: no limit. */
  readonly changesPerSecond: number | undefined
}

/** Everything that is steered in a namespace. */
export interface SteeringState {
  /** Groups that are steered at all, by name. */
  readonly groups: Readonly<Record<string, GroupSteering>>
  /** Workers that were told to hand everything over and stay idle, and since when, ms since 1970. */
  readonly drained: Readonly<Record<string, number>>
}

const unsteered: GroupSteering = {
  paused: false,
  pausedPartitions: [],
  concurrency: undefined,
  changesPerSecond: undefined,
}

/** How a group is steered; as if nobody had, where nobody has. */
export function steeringOf({ groups }: SteeringState, group: string): GroupSteering {
  return Object.hasOwn(groups, group) ? groups[group]! : unsteered
}

/** The fields of the one hash that holds it all. Neither groups nor partitions have a slash in their names. */
export const steeringFields: {
  readonly paused: (group: string, partition?: number) => string
  readonly concurrency: (group: string) => string
  readonly rate: (group: string) => string
  readonly drained: (worker: string) => string
} = {
  paused: (group, partition) =>
    partition === undefined ? `paused:${group}` : `paused:${group}/${partition}`,
  concurrency: (group) => `concurrency:${group}`,
  rate: (group) => `rate:${group}`,
  drained: (worker) => `drained:${worker}`,
}

export async function readSteering(client: RedisClient, keys: NamespaceKeys): Promise<SteeringState> {
  return parseSteering(await client.hgetall(keys.steering))
}

function parseSteering(fields: Readonly<Record<string, string>>): SteeringState {
  const groups: Record<string, { -readonly [Name in keyof GroupSteering]: GroupSteering[Name] }> = {}
  const drained: Record<string, number> = {}
  for (const [field, value] of Object.entries(fields)) {
    const colon = field.indexOf(':')
    const [kind, name] = [field.slice(0, colon), field.slice(colon + 1)]
    if (kind === 'drained') {
      drained[name] = Number(value)
      continue
    }
    const [group, partition] = name.split('/') as [string, string?]
    if (kind !== 'paused' && kind !== 'concurrency' && kind !== 'rate') continue
    const of = (groups[group] ??= { ...unsteered })
    // What is no number steers nothing: a group must not stand still because of it.
    if (kind === 'concurrency') of.concurrency = positive(value, true)
    else if (kind === 'rate') of.changesPerSecond = positive(value, false)
    else if (partition === undefined) of.paused = true
    else of.pausedPartitions = [...of.pausedPartitions, Number(partition)].toSorted((a, b) => a - b)
  }
  return { groups, drained }
}

function positive(text: string, whole: boolean): number | undefined {
  const number = Number(text)
  return text !== '' && number > 0 && Number.isFinite(number) && (!whole || Number.isInteger(number))
    ? number
    : undefined
}
