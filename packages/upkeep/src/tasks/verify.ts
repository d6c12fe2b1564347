import { verify as verifySink, type AnySink } from '@headwater/core'
import { UnrecoverableError } from 'bullmq'
import { z } from 'zod'
import { task, type Task } from './task.ts'

/** Compares a sink with the log. A run that finds a difference fails, so that every board and alarm shows it. */
export const verify: Task = task({
  settings: z.strictObject({ deep: z.boolean().optional(), timeoutMs: z.int().min(0).optional() }),
  concerns: isComparable,
  async run({ log, sinks }, { deep, timeoutMs }, { signal, progress }, group) {
    const report = await verifySink(log, sinks.get(group!)!, {
      group: group!,
      listed: 0,
      signal,
      onProgress: (_keys, share) => progress(share),
      ...(deep !== undefined && { deep }),
      ...(timeoutMs !== undefined && { timeoutMs }),
    })
    const { result, checked, counts, parked, copying, upTo } = report
    if (result === 'different') {
      const found = Object.entries(counts).flatMap(([verdict, number]) =>
        number > 0 && verdict !== 'behind' ? [`${number} ${verdict}`] : [],
      )
      throw new UnrecoverableError(
        `${group} differs from the log, among ${checked} keys: ${found.join(', ')}. \`headwater diff ${group}\` shows them.`,
      )
    }
    if (result === 'undecided') {
      // Tried again: what is behind catches up.
      throw new Error(
        copying.length > 0
          ? `${group} still gets its first copy, so nothing can be told yet.`
          : `${group} was ${counts.behind} keys behind when the time was over, so nothing can be told yet.`,
      )
    }
    return { group, result, deep: report.deep, checked, parked, upTo }
  },
})

/** Whether its rows can be held against the state beside the log. */
export function isComparable({ takes, capabilities, collection }: AnySink): boolean {
  return takes !== 'events' && capabilities.list && capabilities.read && collection.state !== 'none'
}
