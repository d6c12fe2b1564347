import { scrub as scrubSink, type ScrubFinding, type ScrubReport } from '@headwater/core'
import { openGroups } from '../compared-groups.ts'
import type { Invocation } from '../invocation.ts'
import { count, duration, printable, timeLeft } from '../output.ts'

export interface ScrubFlags {
  /** Keys a second. */
  readonly rate?: number
}

/** Differences of each group that are listed; all are counted. */
const listedMax = 1_000

/** Walks through the stored values of sinks; called again after an interruption it goes on where it was. */
export async function scrub(
  { options, output }: Invocation,
  names: readonly string[],
  { rate }: ScrubFlags,
): Promise<void> {
  await using compared = await openGroups(options, names)
  const reports: (ScrubReport & { readonly differences: ScrubFinding[]; readonly seconds: number })[] = []
  for (const { group, sink } of compared.groups) {
    const began = performance.now()
    const secondsSince = (): number => (performance.now() - began) / 1_000
    const differences: ScrubFinding[] = []
    const report = await scrubSink(compared.log, sink, {
      group,
      ...(rate !== undefined && { keysPerSecond: rate }),
      onProgress: (checked, share) =>
        output.progress(() => `${group}: ${count(checked)} keys read${timeLeft(began, share)}`, share),
      onDifference: (found) => void (differences.length < listedMax && differences.push(found)),
    })
    reports.push({ ...report, differences, seconds: Math.round(secondsSince() * 1_000) / 1_000 })
  }
  process.exitCode = reports.some(({ found }) => found > 0) ? 1 : 0
  await output.result({ groups: reports }, () =>
    reports
      .flatMap(({ group, checked, found, seconds, differences }) => [
        `${group}: ${count(found)} of ${count(checked)} keys differ (${duration(seconds)})`,
        ...differences.map(({ key, verdict }) => `  ${verdict.padEnd(8)}${printable(key)}`),
      ])
      .join('\n'),
  )
}
