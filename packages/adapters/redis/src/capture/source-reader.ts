import { setTimeout as delay } from 'node:timers/promises'
import { HeadwaterError, isHeadwaterError } from '@headwater/core'
import type { Redis, RedisOptions } from 'ioredis'
import type { CaptureEvent } from './capture-event.ts'
import { connectClient } from './source-address.ts'

const RETRY_MS = { first: 50, most: 2_000 }
/** Refusals that pass by themselves. */
const passing = /^(?:LOADING|MASTERDOWN|BUSY|NOREPLICAS|TRYAGAIN|CLUSTERDOWN)\b/
const REPLY_TIMEOUT_MS = 30_000

/** What a reader works with. */
export interface SourceReaderOptions {
  readonly source: RedisOptions
  /** The history that the stream is of, where there is one: values must come from the same server. */
  readonly replicationId: () => string | undefined
  readonly onEvent: (event: CaptureEvent) => void
  readonly signal: AbortSignal
}

/** Asks the source, again and again until it answers. */
export class SourceReader {
  readonly #options: SourceReaderOptions
  /** A client for each database. */
  readonly #clients = new Map<number, Redis>()

  constructor(options: SourceReaderOptions) {
    this.#options = options
  }

  /**
   * Repeats a question until it is answered: it must be safe to repeat.
   *
   * @throws HeadwaterError SOURCE_REFUSED; the signal's reason
   */
  async ask<T>(database: number, question: (client: Redis) => Promise<T>): Promise<T> {
    const { signal, onEvent } = this.#options
    for (let waitMs = RETRY_MS.first; ; waitMs = Math.min(waitMs * 2, RETRY_MS.most)) {
      signal.throwIfAborted()
      try {
        return await question(await this.client(database))
      } catch (error) {
        signal.throwIfAborted()
        if (isHeadwaterError(error) || !(error instanceof Error)) throw error
        if (error.name === 'ReplyError' && !passing.test(error.message)) {
          throw new HeadwaterError(
            'SOURCE_REFUSED',
            `The source answered ${JSON.stringify(withoutArguments(error))}.`,
          )
        }
        onEvent({ kind: 'retrying', side: 'source', error: new Error(withoutArguments(error)) })
        this.reset()
      }
      await delay(waitMs, undefined, { signal }).catch(() => {})
    }
  }

  async client(database: number): Promise<Redis> {
    const present = this.#clients.get(database)
    if (present?.status === 'ready') return present
    present?.disconnect()
    const { source, replicationId } = this.#options
    const client = await connectClient(
      { ...source, db: database, commandTimeout: REPLY_TIMEOUT_MS },
      'headwater:capture:values',
    )
    try {
      const expected = replicationId()
      if (expected !== undefined) {
        const info = await client.info('replication')
        // After a failover, until the stream has found the new master or the client has.
        if (!new RegExp(`^master_replid:${expected}\\b`, 'm').test(info))
          throw new Error('the source is another server than the one that is followed')
      }
      this.#clients.set(database, client)
      return client
    } catch (error) {
      client.disconnect()
      throw error
    }
  }

  /** Connects anew for the next question. */
  reset(): void {
    for (const client of this.#clients.values()) client.disconnect()
    this.#clients.clear()
  }
}

// Redis repeats arguments of a command that it does not know, and these are data.
function withoutArguments({ message }: Error): string {
  return message.replace(/,? with args beginning with.*$/s, '')
}
