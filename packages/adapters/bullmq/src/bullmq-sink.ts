import { HeadwaterError, type Change, type Collection, type Sink } from '@headwater/core'
import type { Cluster, Redis } from 'ioredis'
import type { NamedJob } from './change-job.ts'
import { QueueBooks, takePartition } from './queue-books.ts'
import { QueueLink, type OpenQueue } from './queue-link.ts'
import { QueuePartition, type QueueTarget } from './queue-partition.ts'

export interface BullmqSinkOptions<T> {
  /** An ioredis `Redis` or `Cluster`. A connection like it is made; it stays the caller's and is never closed here. */
  readonly client: Redis | Cluster
  readonly collection: Collection<T, unknown>
  /** The name of the queue. On a Cluster it or the prefix has a hash tag: `{indexing}`. */
  readonly queue: string
  /** BullMQ's prefix of the queue. Default `bull`. */
  readonly prefix?: string
  /**
   * The job of a change; undefined for a change that is to have none. What it throws parks the change. Default: named as the
   * collection, with a `ChangeJob` as data.
   */
  readonly job?: (change: Change<T>) => NamedJob | undefined
  /** How long a command may take, in ms. Default 10,000. */
  readonly timeoutMs?: number
}

const text = (value: unknown): value is string => typeof value === 'string' && value !== ''

/**
 * Turns each change of a collection into a job, once and in the order of its key, however often it is delivered and whether
 * its job is still there or not.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export function bullmqSink<T>(options: BullmqSinkOptions<T>): Sink<T> {
  checkOptions(options)
  const { client, collection, queue, prefix = 'bull', job = () => ({}), timeoutMs = 10_000 } = options
  const name = `bullmq queue ${JSON.stringify(queue)}`
  const link = new QueueLink({ name, client, queue, prefix, timeoutMs })
  const books = new QueueBooks(`${prefix}:${queue}`, collection.name)
  const target: QueueTarget = { name, link, books, jobOf: job as (change: Change) => NamedJob | undefined }
  const check = (): Promise<void> => link.use((open) => refuseEviction(name, open))
  return {
    name,
    collection: collection as Collection<T>,
    takes: 'events',
    capabilities: {
      transactions: true,
      list: false,
      read: false,
      // Calls of all partitions share one connection.
      concurrency: 1,
      batch: { changes: 500, bytes: 1_048_576 },
    },
    prepare: check,
    check,
    async open({ lineage, group, partition, fence, signal }) {
      signal?.throwIfAborted()
      const right = { group, partition, fence }
      const progress = await link.use((open) => takePartition(open.client, books, name, right, lineage))
      return new QueuePartition(target, right, progress)
    },
    close: () => link.close(),
  }
}

type Checked = Pick<BullmqSinkOptions<unknown>, 'client' | 'queue' | 'prefix' | 'timeoutMs'>

function checkOptions({ client, queue, prefix = 'bull', timeoutMs = 1 }: Checked): void {
  if (!text(queue) || queue.includes(':')) wrong('`queue` must be a name without ":"')
  if (!text(prefix)) wrong('`prefix` must be a text')
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 1) wrong('`timeoutMs` must be an integer from 1')
  if (typeof (client as Partial<Redis> | undefined)?.duplicate !== 'function') {
    wrong('`client` must be an ioredis client')
  }
  if (client.isCluster && !/\{[^}]+\}/.test(`${prefix}:${queue}`)) {
    wrong(`on a Cluster \`queue\` needs a hash tag that keeps its keys in one slot, such as {${queue}}`)
  }
}

function wrong(what: string): never {
  throw new HeadwaterError('OPTION_INVALID', `bullmqSink: ${what}.`)
}

/** Jobs that a server throws away are changes that are lost. */
async function refuseEviction(name: string, { client }: OpenQueue): Promise<void> {
  const policy = /^maxmemory_policy:(\S+)/m.exec(await client.info('memory'))?.[1]
  if (!policy?.startsWith('allkeys-')) return
  throw new HeadwaterError(
    'SINK_MISCONFIGURED',
    `The server of the ${name} has maxmemory-policy ${policy}, so it would throw jobs away: set noeviction.`,
  )
}
