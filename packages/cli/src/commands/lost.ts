import { findLost, repair, type AnySink, type Log, type LostReport, type RepairReport } from '@headwater/core'
import { openGroups } from '../compared-groups.ts'
import type { Invocation } from '../invocation.ts'
import { count, printable, timeLeft, type Output } from '../output.ts'

export type LostAction = 'list' | 'revert' | 'adopt'

export interface LostFlags {
  readonly dryRun?: boolean
}

/** Lists what a failover has lost and sinks still hold; takes it back there, or lets it enter the log again. */
export async function lost(
  { options, output }: Invocation,
  action: LostAction,
  names: readonly string[],
  { dryRun = false }: LostFlags,
): Promise<void> {
  await using compared = await openGroups(options, names)
  const results: (LostReport & { readonly repaired?: RepairReport })[] = []
  for (const { group, sink } of compared.groups) {
    const began = performance.now()
    const report = await findLost(compared.log, sink, {
      group,
      onProgress: (checked, share) =>
        output.progress(() => `${group}: ${count(checked)} rows looked at${timeLeft(began, share)}`, share),
    })
    const repaired =
      action === 'list' ? undefined : await decide(compared.log, sink, report, { action, dryRun, output })
    results.push({ ...report, ...(repaired && { repaired }) })
  }
  const isLeft = results.some(({ keys, repaired }) => (repaired ? repaired.failed : keys.length) > 0)
  process.exitCode = isLeft ? 1 : 0
  await output.result({ groups: results }, () =>
    results.flatMap((result) => linesOf(result, action, dryRun)).join('\n'),
  )
}

interface Decision {
  readonly action: Exclude<LostAction, 'list'>
  readonly dryRun: boolean
  readonly output: Output
}

async function decide(
  log: Log,
  sink: AnySink,
  { group, keys }: LostReport,
  { action, dryRun, output }: Decision,
): Promise<RepairReport> {
  const differences = keys.map(({ key, log: held }) => ({
    key,
    verdict: 'foreign' as const,
    log: held,
    sink: undefined,
  }))
  const began = performance.now()
  const verb = action === 'adopt' ? 'adopted' : 'reverted'
  return await repair(
    log,
    sink,
    { group, differences, deep: false },
    {
      dryRun,
      foreign: action === 'adopt' ? 'adopt' : 'remove',
      onProgress: (done, total) =>
        output.progress(
          () => `${group}: ${count(done)} of ${count(total)} keys ${verb}${timeLeft(began, done / total)}`,
          done / total,
        ),
    },
  )
}

function linesOf(
  { group, ranges, keys, checked, repaired }: LostReport & { readonly repaired?: RepairReport },
  action: LostAction,
  dryRun: boolean,
): string[] {
  const noted = ranges.map(({ partition, what }) => `  partition ${partition} lost ${what}`)
  if (!repaired) {
    const summary = `${group}: ${count(keys.length)} of ${count(checked)} keys hold lost changes`
    const named = keys.map(
      ({ key, position, deleted }) =>
        `  ${position.padEnd(14)}${deleted ? 'delete' : 'put   '} ${printable(key)}`,
    )
    return [summary, ...noted, ...named]
  }
  const verb = action === 'adopt' ? 'adopted' : 'reverted'
  const done = `${count(repaired.mended)} keys ${dryRun ? `would be ${verb}` : verb}`
  const failures = repaired.entries.flatMap(({ key, error }) =>
    error === undefined ? [] : [`  ${printable(key)}: ${error}`],
  )
  return [`${group}: ${done}, ${count(repaired.failed)} failed`, ...failures]
}
