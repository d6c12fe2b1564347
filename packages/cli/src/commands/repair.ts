import { readFile } from 'node:fs/promises'
import {
  repair as repairSink,
  verify,
  type ForeignPolicy,
  type RepairEntry,
  type VerifyReport,
} from '@headwater/core'
import { CliError } from '../cli-error.ts'
import { openGroups } from '../compared-groups.ts'
import type { Invocation } from '../invocation.ts'
import { count, duration, printable, timeLeft } from '../output.ts'

export interface RepairFlags {
  readonly deep?: boolean
  readonly dryRun?: boolean
  readonly foreign: ForeignPolicy
  /** Keys a second. */
  readonly rate?: number
  /** What `verify --json` wrote; without it, it is verified first. */
  readonly report?: string
}

/** Puts right the keys in which a group's sink differs from the log. */
export async function repair(
  { options, output }: Invocation,
  group: string,
  { deep = false, dryRun = false, foreign, rate, report: path }: RepairFlags,
): Promise<void> {
  await using compared = await openGroups(options, [group])
  const { sink } = compared.groups[0]!
  const began = performance.now()
  const report = path === undefined ? undefined : await reportIn(path, group)
  const found =
    report ??
    (await verify(compared.log, sink, {
      group,
      deep,
      listed: Number.POSITIVE_INFINITY,
      onProgress: (checked, share) =>
        output.progress(() => `${count(checked)} keys compared${timeLeft(began, share)}`, share),
    }))
  const repairBegan = performance.now()
  const repaired = await repairSink(compared.log, sink, found, {
    dryRun,
    foreign,
    samples: dryRun ? 10 : 0,
    ...(rate !== undefined && { keysPerSecond: rate }),
    onProgress: (done, total) =>
      output.progress(
        () => `${count(done)} of ${count(total)} keys${timeLeft(repairBegan, done / total)}`,
        done / total,
      ),
  })
  const seconds = Math.round(performance.now() - began) / 1_000
  process.exitCode = repaired.failed > 0 ? 1 : 0
  const { mended, left, failed, entries } = repaired
  await output.result({ group, ...repaired, seconds }, () => {
    const verb = dryRun ? 'would be put right' : 'put right'
    const summary = `${group}: ${count(mended)} keys ${verb}, ${count(left)} left as they are, ${count(failed)} failed (${duration(seconds)})`
    return [summary, ...entries.filter(({ outcome }) => outcome !== 'done').map(lineOf)].join('\n')
  })
}

async function reportIn(path: string, group: string): Promise<VerifyReport> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw new CliError('FILE_UNREADABLE', `The report ${path} cannot be read.`, { cause })
  }
  try {
    const { groups } = JSON.parse(text.trimEnd().split('\n').at(-1)!) as { groups: VerifyReport[] }
    const found = groups.find((report) => report.group === group)
    if (found) return found
  } catch {
    // Told below, like a report of other groups.
  }
  throw new CliError(
    'USAGE',
    `${path} is no report of group ${group}, as \`headwater verify --json\` writes it.`,
  )
}

function lineOf({ key, verdict, action, outcome, error }: RepairEntry): string {
  const what = outcome === 'planned' ? action : outcome
  return `  ${verdict.padEnd(8)}${what.padEnd(8)}${printable(key)}${error === undefined ? '' : `: ${error}`}`
}
