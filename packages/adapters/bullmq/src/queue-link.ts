import { HeadwaterError } from '@headwater/core'
import { Queue } from 'bullmq'
import type { Cluster, Redis } from 'ioredis'
import { queueFailure } from './queue-failure.ts'

/** What a sink works with while it has the connection for itself: one connection from its beginning to its end. */
export interface OpenQueue {
  readonly client: Redis
  readonly queue: Queue
  /** Gives it up: the next call opens another one. */
  readonly drop: () => void
}

export interface QueueLinkOptions {
  /** Of the sink, for messages. */
  readonly name: string
  readonly client: Redis | Cluster
  readonly queue: string
  readonly prefix: string
  readonly timeoutMs: number
}

/**
 * The sink's own connection, which one caller has at a time: `WATCH` is a state of a connection. So nothing is sent again or
 * later on another one: when it breaks, or anything goes wrong on it, it is given up, and whoever called tries again as
 * a whole. On a Cluster it goes to the master of the queue's slot.
 */
export class QueueLink {
  readonly #options: QueueLinkOptions
  #open: Promise<OpenQueue> | undefined
  #last: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(options: QueueLinkOptions) {
    this.#options = options
  }

  /** @throws HeadwaterError SINK_UNAVAILABLE, SINK_MISCONFIGURED, CLOSED, and what `work` throws of ours */
  async use<T>(work: (open: OpenQueue) => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => this.#use(work))
    this.#last = turn.catch(() => {})
    return await turn
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const open = await this.#open?.catch(() => undefined)
    open?.drop()
  }

  async #use<T>(work: (open: OpenQueue) => Promise<T>): Promise<T> {
    const { name } = this.#options
    if (this.#isClosed) throw new HeadwaterError('CLOSED', `The ${name} is closed.`)
    let open: OpenQueue | undefined
    try {
      open = await (this.#open ??= this.#begin())
      return await work(open)
    } catch (error) {
      if (error instanceof HeadwaterError) throw error
      if (open) open.drop()
      else this.#open = undefined
      throw queueFailure(name, error)
    }
  }

  #begin(): Promise<OpenQueue> {
    const opening = this.#connect(() => {
      if (this.#open === opening) this.#open = undefined
    })
    return opening
  }

  async #connect(ended: () => void): Promise<OpenQueue> {
    const { client: given, queue: queueName, prefix, timeoutMs } = this.#options
    const node = 'nodes' in given ? await masterOf(given, `${prefix}:${queueName}:meta`) : given
    const client = node.duplicate({
      keyPrefix: '',
      stringNumbers: false,
      lazyConnect: true,
      readOnly: false,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
      commandTimeout: timeoutMs,
      connectTimeout: timeoutMs,
      connectionName: 'headwater-bullmq',
    })
    const drop = (): void => {
      ended()
      client.disconnect()
    }
    client.on('error', () => {})
    client.once('end', ended)
    try {
      await client.connect()
      const queue = new Queue(queueName, { connection: client, prefix })
      queue.on('error', () => {})
      await queue.waitUntilReady()
      return { client, queue, drop }
    } catch (error) {
      drop()
      throw error
    }
  }
}

async function masterOf(cluster: Cluster, key: string): Promise<Redis> {
  // Follows a slot that has moved, and so learns where it is now.
  await cluster.exists(key)
  const slot = await cluster.cluster('KEYSLOT', key)
  const [name] = cluster.slots[slot] ?? []
  const master = cluster.nodes('master').find(({ options: { host, port } }) => `${host}:${port}` === name)
  if (!master) throw new Error(`No master is known for slot ${slot}.`)
  return master
}
