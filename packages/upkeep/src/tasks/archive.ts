import { archive as archiveLog } from '@headwater/core'
import { z } from 'zod'
import { task, type Task } from './task.ts'

/** Writes what the log has and the archive has not. */
export const archive: Task = task({
  settings: z.strictObject({}),
  lacks: (surroundings) =>
    surroundings.archive ? undefined : 'needs the option `archive`: where to write to',
  async run({ log, archive: store }, _, { signal, progress }) {
    const partitions = await archiveLog(log, store!, {
      signal,
      onProgress: ({ partition, partitions }) => progress(partition / partitions),
    })
    return {
      archive: store!.name,
      changes: partitions.reduce((sum, { changes }) => sum + changes, 0),
      partitions,
    }
  },
})
