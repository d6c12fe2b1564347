import { trim as trimLog } from '@headwater/core'
import { z } from 'zod'
import { task, type Task } from './task.ts'

/** Removes from the log what is old enough and nobody registered needs. */
export const trim: Task = task({
  settings: z.strictObject({}),
  async run({ log }, _, { signal, progress }) {
    const partitions = await trimLog(log, {
      signal,
      onProgress: ({ partition, partitions }) => progress(partition / partitions),
    })
    return {
      removed: partitions.reduce((sum, { removed }) => sum + removed, 0),
      partitions: partitions.map(({ heldBy, ...rest }) => ({ ...rest, heldBy: heldBy ?? null })),
    }
  },
})
