import { HeadwaterError, type Fence, type SinkPosition, type Stamp } from '@headwater/core'
import type { Redis } from 'ioredis'
import { source as advanceSource } from './advance.lua.ts'
import { source as openSource } from './open.lua.ts'
import { source as partitionSource } from './partition.lua.ts'

/** A partition of a group, and the right to add its jobs. */
export interface PartitionRight {
  readonly group: string
  readonly partition: number
  readonly fence: Fence
}

/** How far the queue is with a partition. */
export interface Progress {
  readonly position: SinkPosition | undefined
  /** How many calls for the partition the server has confirmed. One that counts fewer has lost some. */
  readonly calls: number
}

/**
 * Names of the keys beside a queue's own, in its hash slot: `<prefix>:<queue>:headwater/<collection>:…`. No job can be under
 * them, since the colon in it is not allowed in the id of a job.
 */
export class QueueBooks {
  readonly lineage: string
  readonly #prefix: string

  constructor(queue: string, collection: string) {
    this.#prefix = `${queue}:headwater/${collection}:`
    this.lineage = `${this.#prefix}log`
  }

  /** A hash: fences, positions and calls of groups, and the stamp of the last change of each key that the queue has got. */
  of(partition: number): string {
    return `${this.#prefix}${partition}`
  }
}

/** @throws HeadwaterError SINK_FENCED, SINK_MISCONFIGURED for another lineage */
export async function takePartition(
  client: Redis,
  books: QueueBooks,
  name: string,
  right: PartitionRight,
  lineage: string,
): Promise<Progress> {
  const { partition, group, fence } = right
  const [answer = '', detail = '', calls] = (await client.eval(
    `${partitionSource}\n${openSource}`,
    2,
    books.lineage,
    books.of(partition),
    lineage,
    group,
    formatFence(fence),
  )) as string[]
  if (answer === 'foreign') {
    throw new HeadwaterError(
      'SINK_MISCONFIGURED',
      `The ${name} has got changes of another log (${detail}, not ${lineage}): use another queue; or, if that log is gone, delete the keys ${books.of(0).replace(/0$/, '*')}.`,
    )
  }
  if (answer === 'fenced') throw fenced(name, right, detail)
  return { position: detail === '' ? undefined : parsePosition(detail), calls: Number(calls) }
}

/**
 * @param calls confirmed so far
 * @returns the calls confirmed now
 * @throws HeadwaterError SINK_FENCED
 */
export async function storePosition(
  client: Redis,
  books: QueueBooks,
  name: string,
  right: PartitionRight,
  position: SinkPosition,
  calls: number,
): Promise<number> {
  const { partition, group, fence } = right
  const [answer = '', detail = ''] = (await client.eval(
    `${partitionSource}\n${advanceSource}`,
    1,
    books.of(partition),
    group,
    formatFence(fence),
    formatPosition(position),
    calls,
  )) as string[]
  if (answer === 'rolled back') throw rolledBack(name, right)
  if (answer === 'fenced') throw fenced(name, right, detail)
  return Number(detail)
}

/** @param held the fence that stands there instead; '' when there is none any more */
export function fenced(name: string, { partition }: PartitionRight, held: string): HeadwaterError {
  const [epoch, token, ...owner] = held.split(' ')
  const what =
    held === ''
      ? 'is not open any more: its bookkeeping was deleted. Open it again.'
      : `was opened by ${owner.join(' ')} with token ${epoch}/${token}: leave it to that worker.`
  return new HeadwaterError('SINK_FENCED', `Partition ${partition} of the ${name} ${what}`)
}

export function rolledBack(name: string, { partition }: PartitionRight): HeadwaterError {
  return new HeadwaterError(
    'SINK_FENCED',
    `Partition ${partition} of the ${name} has lost calls that the server had confirmed: it failed over, or restarted from an older copy. Open it again, and go on from the position that is left.`,
  )
}

export function formatFence({ epoch, token, owner }: Fence): string {
  return `${epoch} ${token} ${owner}`
}

export function formatPosition({ epoch, sequence, branch }: SinkPosition): string {
  return `${epoch} ${sequence} ${branch}`
}

export function formatStamp({ epoch, sequence }: Stamp): string {
  return `${epoch} ${sequence}`
}

export function parseStamp(text: string): Stamp {
  const [epoch, sequence] = text.split(' ')
  return { epoch: Number(epoch), sequence: Number(sequence) }
}

function parsePosition(text: string): SinkPosition {
  return { ...parseStamp(text), branch: text.split(' ')[2] ?? '' }
}
