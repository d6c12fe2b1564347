import { replay as replayKey, type ReplayOptions, type ReplayProgress } from '@headwater/core'
import { openGroups } from '../compared-groups.ts'
import type { Invocation } from '../invocation.ts'
import { count, printable, timeLeft } from '../output.ts'

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
  let began = performance.now()
  let current: ReplayProgress['step'] | undefined
  const report = await replayKey(compared.log, sink, key, {
    group,
    force,
    ...(from && { from }),
    onProgress: ({ step, done, total }) => {
      if (step !== current) began = performance.now()
      current = step
      const what = step === 'reading' ? 'of the partition read' : 'of the key given to the sink'
      const share = done / total
      output.progress(
        () => `${count(done)} of ${count(total)} changes ${what}${timeLeft(began, share)}`,
        share,
      )
    },
  })
  await output.result({ key, ...report }, () => {
    const { offered, applied } = report
    if (applied > 0) return `${group}: ${printable(key)} took ${count(applied)} of ${count(offered)} changes`
    return `${group}: ${printable(key)} holds them already, or newer ones (--force overwrites)`
  })
}
