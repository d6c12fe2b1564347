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

/** How far the target is with a partition. */
export interface Progress {
  readonly position: SinkPosition | undefined
  /** How many calls for the partition the target has confirmed. A target that counts fewer has lost some. */
  readonly calls: number
}

/** Notes the layout of the data, unless one is noted; returns the noted one. Without a layout it only looks. */
export async function noteLayout(target: RedisTarget, layout = ''): Promise<string> {
  const input = { keys: [target.keys.progress], args: [layout] }
  const [noted = ''] = textReply(await runScript(target, prepareScript, input))
  return noted
}

/**
 * Takes a partition and reads how far it is; undefined where readers have another version by now.
 *
 * @throws HeadwaterError SINK_FENCED, SINK_MISCONFIGURED for another lineage
 */
export async function takePartition(
  target: RedisTarget,
  right: PartitionRight,
  lineage: string,
): Promise<Progress | undefined> {
  const keys = [target.keys.progress]
  const args = [lineage, partitionName(right), formatFence(right.fence)]
  const [answer = '', detail = '', calls] = textReply(await runScript(target, openScript, { keys, args }))
  if (answer === 'switched') return undefined
  if (answer === 'foreign') throw foreign(target, lineage, detail)
  refuseUnlessDone(target, right, answer === 'opened' ? 'done' : answer, detail)
  return { position: detail === '' ? undefined : parsePosition(detail), calls: Number(calls) }
}

/**
 * @param calls confirmed so far
 * @returns the calls confirmed now
 * @throws HeadwaterError SINK_FENCED
 */
export async function storePosition(
  target: RedisTarget,
  right: PartitionRight,
  position: SinkPosition,
  calls: number,
): Promise<number> {
  const keys = [target.keys.progress]
  const args = [partitionName(right), formatFence(right.fence), formatPosition(position), String(calls)]
  const [answer = '', detail = ''] = textReply(await runScript(target, advanceScript, { keys, args }))
  refuseUnlessDone(target, right, answer, detail)
  return Number(detail)
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

/**
 * @param answer the first word of a script's reply
 * @param detail for `fenced` the fence that stands there instead; '' when there is none any more
 * @throws HeadwaterError SINK_FENCED unless the answer is `done`
 */
export function refuseUnlessDone(
  { name }: RedisTarget,
  { partition }: PartitionRight,
  answer: string,
  detail: string,
): void {
  if (answer === 'done') return
  const [epoch, token, ...owner] = detail.split(' ')
  const what =
    answer === 'rolled back'
      ? 'has lost calls that the server had confirmed: it failed over, or restarted from an older copy. Open it again, and go on from the position that is left.'
      : detail === ''
        ? 'is not open any more: its bookkeeping was deleted. Open it again.'
        : `was opened by ${owner.join(' ')} with token ${epoch}/${token}: leave it to that worker.`
  throw new HeadwaterError('SINK_FENCED', `Partition ${partition} of the ${name} ${what}`)
}

function foreign({ name, keys }: RedisTarget, lineage: string, stored: string): HeadwaterError {
  const bookkeeping = keys.progress.replace(/progress$/, '*')
  return new HeadwaterError(
    'SINK_MISCONFIGURED',
    `The ${name} hold data of another log (${stored}, not ${lineage}): use another key template with another prefix; ` +
      `or, if that log is gone, delete the data and the keys ${bookkeeping}.`,
  )
}
