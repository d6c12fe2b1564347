import { HeadwaterError } from '@headwater/core'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { queueFailure } from './queue-failure.ts'

/** What a sink works with while it has the connection for itself. */
export interface OpenQueue {
  readonly client: Redis
  readonly queue: Queue
  /** A check that throws once the connection is another one than now. */
  readonly sameConnection: () => () => void
  /** Has it connect anew, unless it does already: what is half done on the server ends with the old connection. */
  readonly renew: () => void
}

export interface QueueLinkOptions {
  /** Of the sink, for messages. */
  readonly name: string
  readonly client: Redis
  readonly queue: string
  readonly prefix: string
  readonly timeoutMs: number
}

/**
 * The sink's own connection, which one caller has at a time: `WATCH` is a state of a connection. So nothing may be sent again
 * on a new connection after the old one broke, and nothing may wait for one: whoever called tries again as a whole.
 */
export class QueueLink {
  readonly #options: QueueLinkOptions
  #open: Promise<OpenQueue> | undefined
  #last: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(options: QueueLinkOptions) {
    this.#options = options
  }

  /** @throws HeadwaterError SINK_UNAVAILABLE, SINK_MISCONFIGURED, and what `work` throws of ours */
  async use<T>(work: (open: OpenQueue) => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => this.#use(work))
    this.#last = turn.catch(() => {})
    return await turn
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const open = await this.#open?.catch(() => undefined)
    await open?.queue.close().catch(() => {})
    open?.client.disconnect()
  }

  async #use<T>(work: (open: OpenQueue) => Promise<T>): Promise<T> {
    const { name } = this.#options
    if (this.#isClosed) throw new HeadwaterError('CLOSED', `The ${name} is closed.`)
    let open: OpenQueue | undefined
    try {
      open = await (this.#open ??= this.#connect())
      return await work(open)
    } catch (error) {
      if (open === undefined) this.#open = undefined
      if (error instanceof HeadwaterError) throw error
      // Nothing that is half done there may be taken for the beginning of what comes next.
      open?.renew()
      throw queueFailure(name, error)
    }
  }

  async #connect(): Promise<OpenQueue> {
    const { client: given, queue: queueName, prefix, timeoutMs } = this.#options
    const client = given.duplicate({
      keyPrefix: '',
      stringNumbers: false,
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      commandTimeout: timeoutMs,
      connectTimeout: timeoutMs,
      connectionName: 'headwater-bullmq',
    })
    let connections = 0
    client.on('error', () => {})
    client.on('close', () => connections++)
    try {
      await client.connect()
      const queue = new Queue(queueName, { connection: client, prefix })
      queue.on('error', () => {})
      await queue.waitUntilReady()
      return {
        client,
        queue,
        sameConnection: () => {
          const connection = connections
          return () => {
            if (connection !== connections) throw new Error('The connection broke.')
          }
        },
        renew: () => {
          if (client.status === 'ready') client.disconnect(true)
        },
      }
    } catch (error) {
      client.disconnect()
      throw error
    }
  }
}
