import {
  archive,
  directoryArchive,
  stopArchiving,
  verifyArchive,
  type ArchivedPartition,
  type ArchiveStore,
  type PartitionArchived,
} from '@headwater/core'
import { CliError } from '../cli-error.ts'
import type { GlobalOptions, Invocation } from '../invocation.ts'
import { openLog } from '../open-log.ts'
import { count, timeLeft } from '../output.ts'
import { partitionShare } from '../partition-share.ts'
import { size } from '../quantities.ts'
import { configOf } from '../settings.ts'
import { table } from '../table.ts'

/** Writes what the log has and the archive has not. */
export async function runArchive(
  { options, output }: Invocation,
  directory: string | undefined,
): Promise<void> {
  const store = await storeOf(options, directory)
  await using log = await openLog(options)
  const began = performance.now()
  const partitions = await archive(log, store, {
    onProgress: ({ partition, partitions: of, written, left }) => {
      const share = partitionShare(partition, of, written, left)
      output.progress(
        () =>
          `partition ${partition + 1} of ${of}: ${count(written)} changes written, ${count(left)} left here${timeLeft(began, share)}`,
        share,
      )
    },
  })
  const changes = partitions.reduce((sum, of) => sum + of.changes, 0)
  await output.result({ archive: store.name, changes, partitions }, () =>
    [
      `${count(changes)} changes written to the ${store.name}`,
      table<PartitionArchived>(
        [
          { title: 'partition', align: 'right', text: ({ partition }) => String(partition) },
          { title: 'segments', align: 'right', text: ({ segments }) => count(segments) },
          { title: 'changes', align: 'right', text: (of) => count(of.changes) },
          { title: 'archived to', align: 'right', text: ({ archived }) => count(archived.sequence) },
        ],
        partitions,
      ),
    ].join('\n'),
  )
}

/** Reads everything that is archived. */
export async function checkArchive(
  { options, output }: Invocation,
  directory: string | undefined,
): Promise<void> {
  const store = await storeOf(options, directory)
  await using log = await openLog(options)
  const began = performance.now()
  const partitions = await verifyArchive(log, store, ({ partition, partitions: of, read, left }) => {
    const share = partitionShare(partition, of, read, left)
    output.progress(
      () =>
        `partition ${partition + 1} of ${of}: ${count(read)} changes read, ${count(left)} left here${timeLeft(began, share)}`,
      share,
    )
  })
  const rows = partitions.map(({ first, last, ...of }) => ({
    ...of,
    first: first ?? null,
    last: last ?? null,
  }))
  await output.result({ archive: store.name, partitions: rows }, () =>
    [
      `The ${store.name} is whole`,
      table<ArchivedPartition>(
        [
          { title: 'partition', align: 'right', text: ({ partition }) => String(partition) },
          { title: 'segments', align: 'right', text: ({ segments }) => count(segments) },
          { title: 'size', align: 'right', text: ({ bytes }) => size(bytes) },
          { title: 'changes', align: 'right', text: ({ changes }) => count(changes) },
          { title: 'from', align: 'right', text: ({ first }) => (first === undefined ? '' : count(first)) },
          { title: 'to', align: 'right', text: ({ last }) => (last === undefined ? '' : count(last)) },
        ],
        partitions,
      ),
    ].join('\n'),
  )
}

/** Lets the log be trimmed without being archived. */
export async function stopArchive({ options, output }: Invocation): Promise<void> {
  await using log = await openLog(options)
  await stopArchiving(log)
  await output.result(
    { stopped: true },
    () => 'Nothing is held back for an archive any more. What is archived stays where it is.',
  )
}

async function storeOf(options: GlobalOptions, directory: string | undefined): Promise<ArchiveStore> {
  const store = directory === undefined ? (await configOf(options))?.archive : directoryArchive(directory)
  if (store) return store
  throw new CliError('USAGE', 'Which archive? Give a directory, or `archive` in the config file.')
}
