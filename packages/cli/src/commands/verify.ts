import { verify as verifySink, type Difference, type VerifyReport } from '@headwater/core'
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
}

/** Compares the sinks of groups with the log. */
export async function verify(
  { options, output }: Invocation,
  names: readonly string[],
  { deep = false, digests, wait, limit = 100 }: VerifyFlags,
): Promise<void> {
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
