import { errorCodes, type ErrorCode } from '@headwater/core'
import { z } from 'zod'
import { task, type Task } from './task.ts'

/** Has what is parked fed back to the sinks, group by group. */
export const redrive: Task = task({
  settings: z.strictObject({
    collection: z.string().optional(),
    reason: z.enum(Object.keys(errorCodes) as ErrorCode[]).optional(),
    minAgeMs: z.int().min(0).optional(),
    changesPerSecond: z.number().positive().optional(),
  }),
  async run({ log }, settings, { signal, progress }) {
    const names = [...new Set((await log.groups()).map(({ group }) => group))]
    const groups: Record<string, object> = {}
    for (const [at, group] of names.entries()) {
      const given = Object.entries(settings).filter(([, value]) => value !== undefined)
      const report = await log.parking(group).redrive({
        ...(Object.fromEntries(given) as object),
        signal,
        onProgress: (done, total) => progress((at + done / total) / names.length),
      })
      const { selected, redriven, changes, refused, waiting } = report
      groups[group] = { selected, redriven, changes, refused: refused.length, waiting: waiting.length }
    }
    return { groups }
  },
})
