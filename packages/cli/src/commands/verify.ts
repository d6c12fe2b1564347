import { verify as verifySink, type Difference, type VerifyReport } from '@headwater/core'
import { CliError } from '../cli-error.ts'
import { exitCodeOf, openGroups } from '../compared-groups.ts'
import { isNodeName, openSides, resultOf } from '../compared-sides.ts'
import { errorReport } from '../error-report.ts'
import type { Invocation } from '../invocation.ts'
import { count, duration, printable, timeLeft, type Output } from '../output.ts'

export interface VerifyFlags {
  readonly deep?: boolean
  /** `--no-digests` */
  readonly digests: boolean
  /** How long to wait for what is late, in seconds. */
  readonly wait?: number
  /** Differences shown of each group. */
  readonly limit?: number
  /** Compare with this group's sink, or this node, and not with the log. */
  readonly against?: string
  /** Of the log, where a node is compared with it and there are several. */
  readonly collection?: string
}

/** Compares the sinks of groups with the log; or two sides with each other. */
export async function verify(
  { options, output }: Invocation,
  names: readonly string[],
  { deep = false, digests, wait, limit = 100, against, collection }: VerifyFlags,
): Promise<void> {
  if (against !== undefined || names.some(isNodeName))
    return await compare({ options, output }, names, against ?? 'log', { wait, limit, collection })
  await using compared = await openGroups(options, names)
  const groups: (Verified | Unverified)[] = []
  for (const { group, sink } of compared.groups) {
    const began = performance.now()
    try {
      const report = await verifySink(compared.log, sink, {
        group,
        deep,
        digests,
        listed: limit,
        ...(wait !== undefined && { timeoutMs: wait * 1_000 }),
        onProgress: (checked, share) =>
          output.progress(() => `${group}: ${count(checked)} keys compared${timeLeft(began, share)}`, share),
      })
      groups.push({ ...report, seconds: Math.round(performance.now() - began) / 1_000 })
    } catch (error) {
      // Of several, one that cannot be verified keeps nothing from the others.
      if (compared.groups.length === 1) throw error
      const { code, message } = errorReport(error)
      groups.push({ group, result: 'undecided', error: { code, message }, differences: [] })
    }
  }
  process.exitCode = exitCodeOf(groups.map(({ result }) => result))
  await output.result({ groups }, () =>
    groups.flatMap((report) => [summaryOf(output, report), ...report.differences.map(lineOf)]).join('\n'),
  )
}

type Verified = VerifyReport & { readonly seconds: number }

/** A group that could not be verified, and why. */
interface Unverified {
  readonly group: string
  readonly result: 'undecided'
  readonly error: { readonly code: string; readonly message: string }
  readonly differences: readonly Difference[]
}

/** Compares two sides with each other. */
async function compare(
  { options, output }: Invocation,
  names: readonly string[],
  against: string,
  { wait, limit = 100, collection }: Pick<VerifyFlags, 'wait' | 'limit' | 'collection'>,
): Promise<void> {
  const [name, ...more] = names
  if (name === undefined || more.length > 0)
    throw new CliError(
      'USAGE',
      'Two sides are compared with each other: name one, and the other by --against.',
    )
  await using sides = await openSides(options, [name, against], collection)
  const began = performance.now()
  const report = await sides.compare({
    listed: limit,
    onProgress: (checked, share) =>
      output.progress(() => `${count(checked)} keys compared${timeLeft(began, share)}`, share),
    ...(wait !== undefined && { timeoutMs: wait * 1_000 }),
  })
  process.exitCode = exitCodeOf([resultOf(report)])
  await output.result({ sides: [name, against], ...report }, () => {
    const total = Object.values(report.counts).reduce((sum, number) => sum + number, 0)
    const said = { equal: 'equal', different: `${count(total)} keys differ`, undecided: 'could not tell' }
    const lines = report.differences.map(({ key, verdict }) => `  ${verdict.padEnd(14)}${printable(key)}`)
    return [`${name} and ${against}: ${said[resultOf(report)]}`, ...lines].join('\n')
  })
}

function summaryOf(output: Output, report: Verified | Unverified): string {
  if ('error' in report) {
    const { group, result, error } = report
    return `${group}: ${output.style('yellow', result)} (${printable(error.message)} [${error.code}])`
  }
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
