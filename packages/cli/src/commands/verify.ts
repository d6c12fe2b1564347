import {
  compareSinks,
  verify as verifySink,
  type AnySink,
  type Difference,
  type VerifyReport,
} from '@headwater/core'
import { CliError } from '../cli-error.ts'
import { exitCodeOf, openGroups } from '../compared-groups.ts'
import type { Invocation } from '../invocation.ts'
import { count, duration, printable, type Output } from '../output.ts'

export interface VerifyFlags {
  readonly deep?: boolean
  /** `--no-digests` */
  readonly digests: boolean
  /** How long to wait for what is late, in seconds. */
  readonly wait?: number
  /** Differences shown of each group. */
  readonly limit?: number
  /** Compare with the sink of this group, and not with the log. */
  readonly against?: string
}

/** Compares the sinks of groups with the log. */
export async function verify(
  { options, output }: Invocation,
  names: readonly string[],
  { deep = false, digests, wait, limit = 100, against }: VerifyFlags,
): Promise<void> {
  if (against !== undefined) return await compare({ options, output }, names, against, { wait, limit })
  await using compared = await openGroups(options, names)
  const reports: { report: VerifyReport; seconds: number }[] = []
  for (const { group, sink } of compared.groups) {
    const began = performance.now()
    const report = await verifySink(compared.log, sink, {
      group,
      deep,
      digests,
      listed: limit,
      ...(wait !== undefined && { timeoutMs: wait * 1_000 }),
      onProgress: (checked) => output.progress(() => `${group}: ${count(checked)} keys compared`),
    })
    reports.push({ report, seconds: Math.round(performance.now() - began) / 1_000 })
  }
  process.exitCode = exitCodeOf(reports.map(({ report }) => report.result))
  const groups = reports.map(({ report, seconds }) => ({ ...report, seconds }))
  await output.result({ groups }, () =>
    groups.flatMap((report) => [summaryOf(output, report), ...report.differences.map(lineOf)]).join('\n'),
  )
}

/** Compares the sinks of two groups with each other. */
async function compare(
  { options, output }: Invocation,
  names: readonly string[],
  against: string,
  { wait, limit }: { readonly wait: number | undefined; readonly limit: number },
): Promise<void> {
  if (names.length !== 1) throw new CliError('USAGE', '--against compares the sink of one group: name it.')
  await using compared = await openGroups(options, [...names, against])
  const sinkOf = (name: string): AnySink => compared.groups.find(({ group }) => group === name)!.sink
  const report = await compareSinks(sinkOf(names[0]!), sinkOf(against), {
    listed: limit,
    ...(wait !== undefined && { timeoutMs: wait * 1_000 }),
  })
  process.exitCode = report.equal ? 0 : 1
  await output.result({ groups: [names[0], against], ...report }, () => {
    const total = Object.values(report.counts).reduce((sum, number) => sum + number, 0)
    const summary = `${names[0]} and ${against}: ${report.equal ? 'equal' : `${count(total)} keys differ`}`
    const lines = report.differences.map(({ key, verdict }) => `  ${verdict.padEnd(14)}${printable(key)}`)
    return [summary, ...lines].join('\n')
  })
}

function summaryOf(output: Output, report: VerifyReport & { readonly seconds: number }): string {
  const { group, result, checked, counts, copying, parked, seconds } = report
  const found = Object.entries(counts)
    .filter(([, number]) => number > 0)
    .map(([verdict, number]) => `${count(number)} ${verdict}`)
  const facts = [
    `${count(checked)} keys`,
    ...found,
    ...(copying.length > 0 ? ['copying, not provable yet'] : []),
    ...(parked > 0 ? [`${count(parked)} parked`] : []),
    duration(seconds),
  ]
  const color = { equal: 'green', different: 'red', undecided: 'yellow' } as const
  return `${group}: ${output.style(color[result], result)} (${facts.join(', ')})`
}

function lineOf({ key, verdict }: Difference): string {
  return `  ${verdict.padEnd(8)}${printable(key)}`
}
