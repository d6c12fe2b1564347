import { HeadwaterError, type Fence, type SinkPosition } from '@headwater/core'
import { source as advanceSource } from './advance.lua.ts'
import { source as openSource } from './open.lua.ts'
import { source as partitionSource } from './partition.lua.ts'
import { source as prepareSource } from './prepare.lua.ts'
import { runScript, type RedisTarget } from './redis-target.ts'
import { textReply } from './reply.ts'
import { script } from './script.ts'

const prepareScript = script(prepareSource)
const openScript = script(partitionSource, openSource)
const advanceScript = script(partitionSource, advanceSource)

/** A partition of a group, and the right to write it. */
export interface PartitionRight {
  readonly group: string
  readonly partition: number
  readonly fence: Fence
}

/** Notes the layout of the data, unless one is noted; returns the noted one. */
export async function noteLayout(target: RedisTarget, layout: string): Promise<string> {
  const [noted = ''] = textReply(
    await runScript(target, prepareScript, { keys: [target.keys.progress], args: [layout] }),
  )
  return noted
}

/**
 * Takes a partition and reads its position.
 *
 * @throws HeadwaterError SINK_FENCED, SINK_MISCONFIGURED for another lineage
 */
export async function openPartition(
  target: RedisTarget,
  right: PartitionRight,
  lineage: string,
): Promise<SinkPosition | undefined> {
  const keys = [target.keys.progress]
  const args = [lineage, partitionName(right), formatFence(right.fence)]
  const [answer, detail = ''] = textReply(await runScript(target, openScript, { keys, args }))
  switch (answer) {
    case 'opened':
      return detail === '' ? undefined : parsePosition(detail)
    case 'fenced':
      throw fenced(target, right, detail)
    default:
      throw new HeadwaterError(
        'SINK_MISCONFIGURED',
        `The ${target.name} hold data of another log (${detail}, not ${lineage}): use another key template with ` +
          `another prefix; or, if that log is gone, delete the data and ${target.keys.progress.replace(/progress$/, '*')}.`,
      )
  }
}

/** @throws HeadwaterError SINK_FENCED */
export async function storePosition(
  target: RedisTarget,
  right: PartitionRight,
  position: SinkPosition,
): Promise<void> {
  const keys = [target.keys.progress]
  const args = [partitionName(right), formatFence(right.fence), formatPosition(position)]
  const [answer, detail = ''] = textReply(await runScript(target, advanceScript, { keys, args }))
  if (answer === 'fenced') throw fenced(target, right, detail)
}

/** What distinguishes the partition in the names of fields. The group comes last, as it may hold anything. */
export function partitionName({ partition, group }: PartitionRight): string {
  return `${partition} ${group}`
}

export function formatFence({ epoch, token, owner }: Fence): string {
  return `${epoch} ${token} ${owner}`
}

export function formatPosition({ epoch, sequence, branch }: SinkPosition): string {
  return `${epoch} ${sequence} ${branch}`
}

function parsePosition(text: string): SinkPosition {
  const [epoch, sequence, branch = ''] = text.split(' ')
  return { epoch: Number(epoch), sequence: Number(sequence), branch }
}

/** @param stored the fence that stands there instead; '' when there is none any more */
export function fenced(target: RedisTarget, { partition }: PartitionRight, stored: string): HeadwaterError {
  const [epoch, token, ...owner] = stored.split(' ')
  const what =
    stored === ''
      ? 'is not open any more: its bookkeeping was deleted. Open it again.'
      : `was opened by ${owner.join(' ')} with token ${epoch}/${token}: leave it to that worker.`
  return new HeadwaterError('SINK_FENCED', `Partition ${partition} of the ${target.name} ${what}`)
}
