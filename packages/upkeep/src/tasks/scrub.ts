import { scrub as scrubSink } from '@headwater/core'
import { UnrecoverableError } from 'bullmq'
import { z } from 'zod'
import { task, type Task } from './task.ts'
import { isComparable } from './verify.ts'

/** Reads all stored values of a sink, slowly. A run that was interrupted is gone on with; one that finds an edit fails. */
export const scrub: Task = task({
  settings: z.strictObject({ keysPerSecond: z.number().positive().optional() }),
  concerns: isComparable,
  async run({ log, sinks }, { keysPerSecond }, { signal, progress }, group) {
    const { checked, found } = await scrubSink(log, sinks.get(group!)!, {
      group: group!,
      signal,
      onProgress: (_, share) => progress(share),
      ...(keysPerSecond !== undefined && { keysPerSecond }),
    })
    if (found > 0) {
      throw new UnrecoverableError(
        `${group} holds ${found} of ${checked} values that the log does not know so. \`headwater diff ${group} --deep\` shows them.`,
      )
    }
    return { group, checked, found }
  },
})
