import {
  cancelRebuild,
  rebuild as rebuildSink,
  type AnySink,
  type Log,
  type RebuildProgress,
  type RebuildReport,
} from '@headwater/core'
import { CliError } from '../cli-error.ts'
import { openGroups } from '../compared-groups.ts'
import type { Invocation } from '../invocation.ts'
import { count, duration, type Output } from '../output.ts'
import { exitCodeOf, stopSignal, type StopReason } from '../stop-signal.ts'

export interface RebuildFlags {
  readonly from?: 'state' | 'beginning'
  /** Keys a second. */
  readonly rate?: number
  readonly switch: boolean
  readonly cancel?: boolean
  /** A version that readers do not see. */
  readonly drop?: number
  readonly list?: boolean
  /** When it has not come closer to the end of the log for so long, in ms. */
  readonly giveUp?: number
}

/** Builds the next version of a group's target and switches to it; or gives up, drops or lists versions. */
export async function rebuild(
  { options, output }: Invocation,
  group: string,
  flags: RebuildFlags,
): Promise<void> {
  if ([flags.cancel, flags.drop !== undefined, flags.list].filter(Boolean).length > 1) {
    throw new CliError('USAGE', '--cancel, --drop and --list exclude each other.')
  }
  await using compared = await openGroups(options, [group])
  const { log } = compared
  const { sink } = compared.groups[0]!
  if (flags.cancel) return await cancel(output, log, sink, group)
  if (flags.drop !== undefined || flags.list) return await versions(output, sink, group, flags.drop)
  const stop = stopSignal()
  const began = performance.now()
  let report: RebuildReport
  try {
    report = await rebuildSink(log, sink, {
      group,
      ...(flags.from && { start: flags.from }),
      ...(flags.rate !== undefined && { keysPerSecond: flags.rate }),
      ...(flags.giveUp !== undefined && { giveUpAfterMs: flags.giveUp }),
      switch: flags.switch,
      signal: stop,
      onProgress: (progress) => {
        const { phase, copied, total } = progress
        output.progress(() => lineOf(progress), phase === 'copying' && total > 0 ? copied / total : undefined)
      },
    })
  } catch (error) {
    if (!stop.aborted) throw error
    process.exitCode = exitCodeOf(stop.reason as StopReason)
    return await output.result(
      { group, stopped: true },
      () => `${group}: stopped; call it again to go on, or with --cancel.`,
    )
  }
  const seconds = Math.round(performance.now() - began) / 1_000
  await output.result({ ...report, seconds }, () => summaryOf(report, seconds))
}

async function cancel(output: Output, log: Log, sink: AnySink, group: string): Promise<void> {
  const cancelled = await cancelRebuild(log, sink, { group })
  await output.result({ group, cancelled }, () =>
    cancelled.length === 0
      ? `${group}: nothing was being built.`
      : `${group}: version ${cancelled.join(', ')} is given up.`,
  )
}

async function versions(output: Output, sink: AnySink, group: string, dropped?: number): Promise<void> {
  if (!sink.versions) throw new CliError('USAGE', `The sink of group ${group} has no versions.`)
  if (dropped !== undefined) await sink.versions.drop(dropped)
  const { current, others } = await sink.versions.list()
  await output.result({ group, current, others }, () => {
    const rest = others.map(
      (version) => `version ${version} (${version < current ? 'replaced' : 'being built'})`,
    )
    return `${group}: readers have version ${current}${rest.length > 0 ? `; beside it ${rest.join(', ')}` : ''}`
  })
}

function lineOf({ phase, version, copied, total, lag, leftMs, notCloserMs }: RebuildProgress): string {
  const left = leftMs === undefined ? '' : `, about ${duration(leftMs / 1_000)} left`
  if (phase === 'copying') return `version ${version}: ${count(copied)} of ${count(total)} keys copied${left}`
  if (notCloserMs > 0)
    return `version ${version}: ${count(lag)} changes behind, and no closer since ${duration(notCloserMs / 1_000)}: writers are faster`
  if (phase === 'catching-up') return `version ${version}: ${count(lag)} changes behind${left}`
  return `version ${version}: switching`
}

function summaryOf({ group, version, previous, switched }: RebuildReport, seconds: number): string {
  const what = switched
    ? `readers have version ${version} now; version ${previous} stays until --drop ${previous}`
    : `version ${version} is built, and readers have version ${previous} until it is called without --no-switch`
  return `${group}: ${what} (${duration(seconds)})`
}
