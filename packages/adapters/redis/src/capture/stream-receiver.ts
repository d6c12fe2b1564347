import { setTimeout as delay } from 'node:timers/promises'
import { isHeadwaterError } from '@headwater/core'
import type { RedisOptions } from 'ioredis'
import type { CaptureEvent } from './capture-event.ts'
import { CopyProgress } from './copy-progress.ts'
import { ReplicationLink, type ReplicationPosition } from './replication-link.ts'
import { sourcePosition } from './source-offset.ts'
import type { Spool } from './spool.ts'

const RETRY_MS = { first: 50, most: 2_000 }
/** A source asks its replicas to answer each second. */
const ACKNOWLEDGE_EVERY_MS = 1_000
/** After news it is acknowledged sooner: `WAIT` and the source's own questions are answered so. */
const ACKNOWLEDGE_AFTER_MS = 20

/** What the receiver works with. */
export interface StreamReceiverOptions {
  readonly source: RedisOptions
  readonly spool: Spool
  /** Where the target is, asked when the spool is empty; undefined where it needs everything. */
  readonly saved: () => ReplicationPosition | undefined
  /**
   * Whether the dump of a full copy is what is copied. Otherwise the stream alone is wanted, and the source is asked for it
   * without a dump, which it can do when it has had a replica before.
   */
  readonly dump: boolean
  readonly onEvent: (event: CaptureEvent) => void
  readonly signal: AbortSignal
}

/** Attaches to the source, again and again, and brings what it sends to the spool. */
export class StreamReceiver {
  readonly #options: StreamReceiverOptions
  #link: ReplicationLink | undefined

  constructor(options: StreamReceiverOptions) {
    this.#options = options
  }

  /** Runs until the signal; rejects when the source refuses us. */
  async run(): Promise<void> {
    const { signal, onEvent } = this.#options
    const close = () => this.#link?.close()
    signal.addEventListener('abort', close)
    try {
      for (let waitMs = RETRY_MS.first; !signal.aborted; waitMs = Math.min(waitMs * 2, RETRY_MS.most)) {
        const startedAt = performance.now()
        try {
          await this.#attachAndReceive()
        } catch (error) {
          if (signal.aborted) return
          if (isHeadwaterError(error) || !(error instanceof Error)) throw error
          if (performance.now() - startedAt > RETRY_MS.most) waitMs = RETRY_MS.first
          onEvent({ kind: 'retrying', side: 'source', error })
        }
        await delay(waitMs, undefined, { signal }).catch(() => {})
      }
    } finally {
      signal.removeEventListener('abort', close)
    }
  }

  /** Attaches anew, from where the target is then. */
  reattach(): void {
    this.#link?.close()
  }

  async #attachAndReceive(): Promise<void> {
    const { source, spool, dump, signal, onEvent } = this.#options
    const link = await ReplicationLink.open(source)
    this.#link = link
    try {
      signal.throwIfAborted()
      const from =
        spool.position ?? this.#options.saved() ?? (dump ? undefined : await sourcePosition(source))
      const hadPosition = (spool.position ?? this.#options.saved()) !== undefined
      const attachment = await link.attach(from)
      if (attachment.kind === 'partial') {
        if (spool.position === undefined) await spool.beginAt(from!)
        if (attachment.replicationId !== from!.replicationId) {
          onEvent({ kind: 'history-renamed', replicationId: attachment.replicationId })
          spool.rename(attachment.replicationId)
        }
        onEvent({ kind: 'attached', offset: from!.offset })
      } else {
        const reason = hadPosition ? 'source-cannot-continue' : 'first'
        onEvent({ kind: 'full-copy', reason, offset: attachment.position.offset })
        await (dump
          ? this.#receiveDump(link, attachment.position)
          : this.#skipDump(link, attachment.position))
      }
      await this.#receiveStream(link)
    } finally {
      link.close()
    }
  }

  async #receiveDump(link: ReplicationLink, position: ReplicationPosition): Promise<void> {
    const { spool, onEvent } = this.#options
    await spool.beginWithDump(position)
    let progress = new CopyProgress('receiving', undefined, onEvent)
    for await (const chunk of link.dump(
      (size) => (progress = new CopyProgress('receiving', size, onEvent)),
    )) {
      await spool.writeDump(chunk)
      progress.add(chunk.length)
    }
    await spool.finishDump()
  }

  /** The source cannot do without a dump, but what it holds is read otherwise. */
  async #skipDump(link: ReplicationLink, position: ReplicationPosition): Promise<void> {
    const { spool, onEvent } = this.#options
    let progress = new CopyProgress('receiving', undefined, onEvent)
    const setSize = (size: number): void => void (progress = new CopyProgress('receiving', size, onEvent))
    for await (const chunk of link.dump(setSize)) progress.add(chunk.length)
    await spool.beginAt(position)
  }

  async #receiveStream(link: ReplicationLink): Promise<void> {
    const { spool } = this.#options
    let soon: NodeJS.Timeout | undefined
    const acknowledge = () => {
      soon = undefined
      link.acknowledge(spool.end)
    }
    // The first one also tells a source without a dump on disk that we have all of it.
    acknowledge()
    const regularly = setInterval(acknowledge, ACKNOWLEDGE_EVERY_MS)
    try {
      for await (const chunk of link.stream()) {
        await spool.append(chunk)
        soon ??= setTimeout(acknowledge, ACKNOWLEDGE_AFTER_MS)
      }
    } finally {
      clearInterval(regularly)
      clearTimeout(soon)
    }
  }
}
