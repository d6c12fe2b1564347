import {
  purgeIdempotencyRecords,
  purgeProducers,
  purgeSinkTombstones,
  purgeTombstones,
  type PurgeProgress,
} from '@headwater/core'
import { openGroups } from '../compared-groups.ts'
import type { Invocation } from '../invocation.ts'
import { openLog } from '../open-log.ts'
import { count, timeLeft, type Output } from '../output.ts'
import { configOf } from '../settings.ts'

export interface PurgeFlags {
  readonly dryRun?: boolean
}

export interface PurgeRecordsFlags extends PurgeFlags {
  /** In ms. */
  readonly window?: number
}

export interface PurgeProducersFlags extends PurgeFlags {
  /** In ms. */
  readonly olderThan?: number
}

/** Lets go of idempotency records that are older than their window. */
export async function purgeRecords(
  { options, output }: Invocation,
  { dryRun = false, window }: PurgeRecordsFlags,
): Promise<void> {
  const idempotencyWindowMs = window ?? (await configOf(options))?.idempotencyWindowMs
  await using log = await openLog(options, {
    ...(idempotencyWindowMs !== undefined && { idempotencyWindowMs }),
  })
  const removed = await purgeIdempotencyRecords(log, { dryRun, onProgress: tellProgress(output) })
  await tell(output, dryRun, removed, 'idempotency records')
}

/** Forgets connections that stored nothing for long. */
export async function purgeSilentProducers(
  { options, output }: Invocation,
  { dryRun = false, olderThan }: PurgeProducersFlags,
): Promise<void> {
  await using log = await openLog(options)
  const removed = await purgeProducers(log, {
    dryRun,
    onProgress: tellProgress(output),
    ...(olderThan !== undefined && { olderThanMs: olderThan }),
  })
  await tell(output, dryRun, removed, 'producers')
}

/** Lets go of tombstones whose delete is trimmed: beside the log, or in the sinks of groups. */
export async function purgeDeleted(
  { options, output }: Invocation,
  names: readonly string[],
  { dryRun = false }: PurgeFlags,
): Promise<void> {
  if (names.length === 0) {
    await using log = await openLog(options)
    const removed = await purgeTombstones(log, { dryRun, onProgress: tellProgress(output) })
    return await tell(output, dryRun, removed, 'tombstones beside the log')
  }
  await using opened = await openGroups(options, names)
  const groups: { readonly group: string; readonly removed: number }[] = []
  for (const { group, sink } of opened.groups) {
    const began = performance.now()
    const removed = await purgeSinkTombstones(opened.log, sink, {
      dryRun,
      onProgress: (found, removed, share) =>
        output.progress(
          () =>
            `${group}: ${count(found)} tombstones found, ${count(removed)} removed${timeLeft(began, share)}`,
          share,
        ),
    })
    groups.push({ group, removed })
  }
  const removed = groups.reduce((sum, group) => sum + group.removed, 0)
  await output.result({ dryRun, removed, groups }, () =>
    groups.map(({ group, removed }) => `${group}: ${sentence(dryRun, removed, 'tombstones')}`).join('\n'),
  )
}

function tellProgress(output: Output): (progress: PurgeProgress) => void {
  const began = performance.now()
  return ({ partition, partitions, removed, share }) =>
    output.progress(
      () => `partition ${partition + 1} of ${partitions}: ${count(removed)} removed${timeLeft(began, share)}`,
      share,
    )
}

function tell(output: Output, dryRun: boolean, removed: number, what: string): Promise<void> {
  return output.result({ dryRun, removed }, () => sentence(dryRun, removed, what))
}

function sentence(dryRun: boolean, removed: number, what: string): string {
  return `${count(removed)} ${what} ${dryRun ? 'would be ' : ''}removed`
}
