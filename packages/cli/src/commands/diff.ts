import { verify, type Difference, type Log, type AnySink } from '@headwater/core'
import { exitCodeOf, openGroups } from '../compared-groups.ts'
import { isNodeName, openSides, resultOf } from '../compared-sides.ts'
import type { Invocation } from '../invocation.ts'
import { count, printable, timeLeft, type Output } from '../output.ts'

export interface DiffFlags {
  readonly deep?: boolean
  readonly limit?: number
  /** As for verify. */
  readonly against?: string
  readonly collection?: string
  readonly wait?: number
}

/** Shows what differs between a group's sink and the log, or between two sides: both values of each key. */
export async function diff(
  { options, output }: Invocation,
  group: string,
  { deep = false, limit = 100, against, collection, wait }: DiffFlags,
): Promise<void> {
  if (against !== undefined || isNodeName(group))
    return await diffSides({ options, output }, [group, against ?? 'log'], { limit, wait, collection })
  await using compared = await openGroups(options, [group])
  const { sink } = compared.groups[0]!
  const began = performance.now()
  const report = await verify(compared.log, sink, {
    group,
    deep,
    listed: limit,
    ...(wait !== undefined && { timeoutMs: wait * 1_000 }),
    onProgress: (checked, share) =>
      output.progress(() => `${count(checked)} keys compared${timeLeft(began, share)}`, share),
  })
  for (const difference of report.differences) {
    const values = await valuesOf(compared.log, sink, difference)
    await output.result({ ...difference, ...values }, () => textOf(output, difference, values))
  }
  process.exitCode = exitCodeOf([report.result])
  if (output.json) await output.result({ ...report, differences: report.differences.length }, () => '')
}

/** Shows both values of each key in which two sides differ. */
async function diffSides(
  { options, output }: Invocation,
  names: readonly [string, string],
  { limit = 100, wait, collection }: Pick<DiffFlags, 'limit' | 'wait' | 'collection'>,
): Promise<void> {
  await using sides = await openSides(options, names, collection)
  const late = wait === undefined ? {} : { timeoutMs: wait * 1_000 }
  const began = performance.now()
  const report = await sides.compare({
    listed: limit,
    ...late,
    onProgress: (checked, share) =>
      output.progress(() => `${count(checked)} keys compared${timeLeft(began, share)}`, share),
  })
  const width = Math.max(...names.map(({ length }) => length))
  for (const { key, verdict } of report.differences) {
    const values = await sides.valuesOf(key)
    await output.result({ key, verdict, sides: names, values }, () =>
      [
        `${verdict.padEnd(14)}${printable(key)}`,
        ...names.map((name, at) => `  ${name.padEnd(width)}  ${printable(JSON.stringify(values[at]))}`),
      ].join('\n'),
    )
  }
  process.exitCode = exitCodeOf([resultOf(report)])
  if (output.json)
    await output.result({ sides: names, ...report, differences: report.differences.length }, () => '')
}

interface Values {
  /** Null where there is none. */
  readonly logValue: unknown
  readonly sinkValue: unknown
}

async function valuesOf(log: Log, sink: AnySink, { key }: Difference): Promise<Values> {
  const entity = sink.collection.state === 'values' ? await log.get(sink.collection, key) : undefined
  const held = (await sink.read?.([key]))?.[0]
  return { logValue: entity?.value ?? null, sinkValue: held?.value ?? null }
}

function textOf(output: Output, { key, verdict }: Difference, { logValue, sinkValue }: Values): string {
  return [
    `${verdict.padEnd(8)}${printable(key)}`,
    output.style('green', `  log   ${printable(JSON.stringify(logValue))}`),
    output.style('red', `  sink  ${printable(JSON.stringify(sinkValue))}`),
  ].join('\n')
}
