import {
  retention as retentionOf,
  setRetention,
  type Holder,
  type PartitionRetention,
  type RetentionReport,
} from '@headwater/core'
import type { Invocation } from '../invocation.ts'
import { openLog } from '../open-log.ts'
import { count, duration, type Output } from '../output.ts'
import { size } from '../quantities.ts'
import { table } from '../table.ts'

export interface RetentionFlags {
  /** In ms. */
  readonly keep?: number
  /** In bytes. */
  readonly partitionLimit?: number | 'none'
}

/** Shows what the log keeps and for whom, after changing what was asked for. */
export async function retention(
  { options, output }: Invocation,
  { keep, partitionLimit }: RetentionFlags,
): Promise<void> {
  await using log = await openLog(options)
  await setRetention(log, {
    ...(keep !== undefined && { retentionMs: keep }),
    ...(partitionLimit !== undefined && {
      partitionBytesMax: partitionLimit === 'none' ? undefined : partitionLimit,
    }),
  })
  const report = await retentionOf(log)
  await output.result(json(report), () => textOf(output, report))
}

/** With null for what is not there, so that every row has every property. */
function json({ partitions, partitionBytesMax, bytesAdvised, ...rest }: RetentionReport): object {
  return {
    ...rest,
    partitionBytesMax: partitionBytesMax ?? null,
    bytesAdvised: bytesAdvised ?? null,
    partitions: partitions.map(({ holders, ...of }) => ({ ...of, holders: holders.map(holderJson) })),
  }
}

function holderJson({ owner, leftMs, ...holder }: Holder): object {
  return { ...holder, owner: owner ?? null, leftMs: leftMs ?? null }
}

function textOf(
  output: Output,
  { retentionMs, partitionBytesMax, bytesAdvised, partitions }: RetentionReport,
): string {
  const limit =
    partitionBytesMax === undefined ? 'no memory limit' : `at most ${size(partitionBytesMax)} a partition`
  const settings = `Changes stay for ${duration(retentionMs / 1_000)} at least; ${limit}.`
  const max = Math.min(bytesAdvised ?? Infinity, partitionBytesMax ?? Infinity)
  const rows = table<PartitionRetention>(
    [
      { title: 'partition', align: 'right', text: ({ partition }) => String(partition) },
      { title: 'trimmed to', align: 'right', text: ({ trimmed }) => count(trimmed) },
      { title: 'end', text: ({ end }) => end },
      { title: 'changes', align: 'right', text: ({ changes }) => count(changes) },
      {
        title: 'memory',
        align: 'right',
        text: ({ bytes }) => size(bytes),
        style: ({ bytes }, text) => (bytes >= max ? output.style('yellow', text) : text),
      },
      { title: 'needed most by', text: ({ holders }) => nameOf(holders[0]) },
    ],
    partitions,
  )
  return [settings, rows, '', holdersText(partitions)].join('\n')
}

function nameOf(holder: Holder | undefined): string {
  return holder === undefined || holder.changes === 0 ? '' : `${holder.kind} ${holder.name}`
}

interface Whoever {
  readonly holder: Holder
  readonly partitions: number
  readonly changes: number
  readonly bytes: number
}

function holdersText(partitions: readonly PartitionRetention[]): string {
  const all = new Map<string, Whoever>()
  for (const holder of partitions.flatMap(({ holders }) => holders)) {
    const id = `${holder.kind} ${holder.name}`
    const held = all.get(id) ?? { holder, partitions: 0, changes: 0, bytes: 0 }
    all.set(id, {
      holder: held.holder,
      partitions: held.partitions + 1,
      changes: held.changes + holder.changes,
      bytes: held.bytes + holder.bytes,
    })
  }
  if (all.size === 0) return 'Nobody is registered: trimming goes by time alone.'
  return table<Whoever>(
    [
      { title: 'who', text: ({ holder }) => `${holder.kind} ${holder.name}` },
      { title: 'owner', text: ({ holder }) => holder.owner ?? '' },
      { title: 'since', text: ({ holder }) => new Date(holder.since).toISOString() },
      {
        title: 'expires in',
        align: 'right',
        text: ({ holder: { leftMs } }) => (leftMs === undefined ? '' : duration(leftMs / 1_000)),
      },
      { title: 'partitions', align: 'right', text: (of) => String(of.partitions) },
      { title: 'changes', align: 'right', text: ({ changes }) => count(changes) },
      { title: 'memory', align: 'right', text: ({ bytes }) => size(bytes) },
    ],
    [...all.values()].toSorted((a, b) => b.bytes - a.bytes),
  )
}
