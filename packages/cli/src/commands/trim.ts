import { trim as trimLog, type PartitionTrim } from '@headwater/core'
import type { Invocation } from '../invocation.ts'
import { openLog } from '../open-log.ts'
import { count, timeLeft } from '../output.ts'
import { partitionShare } from '../partition-share.ts'
import { table } from '../table.ts'

export interface TrimFlags {
  readonly dryRun?: boolean
}

/** Removes what nobody needs any more and is older than the retention time. */
export async function trim({ options, output }: Invocation, { dryRun = false }: TrimFlags): Promise<void> {
  await using log = await openLog(options)
  const began = performance.now()
  const partitions = await trimLog(log, {
    dryRun,
    onProgress: ({ partition, partitions: of, removed, left }) => {
      const share = partitionShare(partition, of, removed, left)
      output.progress(
        () =>
          `partition ${partition + 1} of ${of}: ${count(removed)} changes removed, ${count(left)} left here${timeLeft(began, share)}`,
        share,
      )
    },
  })
  const removed = partitions.reduce((sum, of) => sum + of.removed, 0)
  const rows = partitions.map((of) => ({ ...of, heldBy: of.heldBy ?? null }))
  await output.result({ dryRun, removed, partitions: rows }, () =>
    [
      `${count(removed)} changes ${dryRun ? 'would be ' : ''}removed`,
      table<PartitionTrim>(
        [
          { title: 'partition', align: 'right', text: ({ partition }) => String(partition) },
          { title: dryRun ? 'would go' : 'removed', align: 'right', text: (of) => count(of.removed) },
          { title: 'trimmed to', align: 'right', text: ({ trimmed }) => count(trimmed) },
          {
            title: 'held back by',
            text: ({ heldBy }) => (heldBy ? `${heldBy.kind} ${heldBy.name}` : 'the retention time'),
          },
        ],
        partitions,
      ),
    ].join('\n'),
  )
}
