import type { GroupSettings, GroupSteering, Log } from '@headwater/core'
import { CliError } from '../cli-error.ts'
import type { Invocation } from '../invocation.ts'
import { openLog } from '../open-log.ts'

export interface PartitionFlag {
  readonly partition?: number
}

export interface SettingFlags {
  readonly concurrency?: number | 'default'
  /** Changes a second. */
  readonly rate?: number | 'default'
}

export interface DrainFlags {
  readonly undo?: boolean
  /** Seconds. */
  readonly wait?: number
}

export async function pauseGroup(
  { options, output }: Invocation,
  group: string,
  { partition }: PartitionFlag,
): Promise<void> {
  await using log = await openLog(options)
  await log.steering.pause(group, { ...(partition !== undefined && { partition }) })
  await output.result(...(await shown(log, group)))
}

export async function resumeGroup(
  { options, output }: Invocation,
  group: string,
  { partition }: PartitionFlag,
): Promise<void> {
  await using log = await openLog(options)
  await log.steering.resume(group, { ...(partition !== undefined && { partition }) })
  await output.result(...(await shown(log, group)))
}

export async function setGroup(
  { options, output }: Invocation,
  group: string,
  { concurrency, rate }: SettingFlags,
): Promise<void> {
  if (concurrency === undefined && rate === undefined) {
    throw new CliError('USAGE', 'Set what? Give --concurrency, --rate, or both.')
  }
  const settings: GroupSettings = {
    ...(concurrency !== undefined && { concurrency }),
    ...(rate !== undefined && { changesPerSecond: rate }),
  }
  await using log = await openLog(options)
  await log.steering.set(group, settings)
  await output.result(...(await shown(log, group)))
}

export async function drainWorker(
  { options, output }: Invocation,
  worker: string,
  { undo = false, wait = 30 }: DrainFlags,
): Promise<void> {
  await using log = await openLog(options)
  if (undo) await log.steering.undrain(worker)
  else await log.steering.drain(worker, { timeoutMs: wait * 1_000 })
  await output.result({ worker, drained: !undo }, () =>
    undo ? `${worker} takes its share again.` : `${worker} has handed everything over, and stays idle.`,
  )
}

/** How a group is steered by now. */
async function shown(log: Log, group: string): Promise<[json: object, text: () => string]> {
  const { groups } = await log.steering.state()
  const of = groups[group]
  const json = {
    group,
    paused: of?.paused ?? false,
    pausedPartitions: of?.pausedPartitions ?? [],
    concurrency: of?.concurrency ?? null,
    changesPerSecond: of?.changesPerSecond ?? null,
  }
  return [json, () => `${group}: ${of ? steeringText(of) : 'as its workers were started'}`]
}

/** What is different from how the workers were started. */
export function steeringText({
  paused,
  pausedPartitions,
  concurrency,
  changesPerSecond,
}: GroupSteering): string {
  return [
    ...(paused ? ['paused'] : []),
    ...(!paused && pausedPartitions.length > 0 ? [`partitions ${pausedPartitions.join(', ')} paused`] : []),
    ...(concurrency === undefined ? [] : [`${concurrency} calls of a partition at once`]),
    ...(changesPerSecond === undefined ? [] : [`at most ${changesPerSecond} changes a second`]),
  ].join('; ')
}
