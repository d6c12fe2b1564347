import { replay as replayKey, type ReplayOptions } from '@headwater/core'
import { openGroups } from '../compared-groups.ts'
import type { Invocation } from '../invocation.ts'
import { count, printable } from '../output.ts'

export interface ReplayFlags {
  readonly from?: NonNullable<ReplayOptions['from']>
  readonly force?: boolean
}

/** Gives one key to a group's sink again. */
export async function replay(
  { options, output }: Invocation,
  group: string,
  key: string,
  { from, force = false }: ReplayFlags,
): Promise<void> {
  await using compared = await openGroups(options, [group])
  const { sink } = compared.groups[0]!
  const report = await replayKey(compared.log, sink, key, { group, force, ...(from && { from }) })
  await output.result({ key, ...report }, () => {
    const { offered, applied } = report
    if (applied > 0) return `${group}: ${printable(key)} took ${count(applied)} of ${count(offered)} changes`
    return `${group}: ${printable(key)} holds them already, or newer ones (--force overwrites)`
  })
}
