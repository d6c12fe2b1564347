import type { Batch } from '../change/batch.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Header } from '../log/header.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import type { Connection } from '../redis/connection.ts'
import { LiveChannels } from './live-channels.ts'
import { parseLiveMessage } from './live-message.ts'
import { PartitionTail, type TailListener } from './partition-tail.ts'

/** How often the heads are compared, in ms: the last message before silence leaves no gap to see. */
const lookEveryMs = 1_000

/**
 * Follows the log of one `Log` for all its feeds together: one subscription to pub/sub, one tail a partition. It works
 * while there is a listener, and holds no connection otherwise.
 */
export class LiveHub implements TailListener {
  readonly #parts: LogParts
  readonly #listeners = new Set<TailListener>()
  #running: RunningHub | undefined
  #closed = false

  constructor(parts: LogParts) {
    this.#parts = parts
  }

  /** Adds a follower; the tails that it follows are given back. */
  join(listener: TailListener): {
    readonly tails: readonly PartitionTail[]
    readonly connection: Connection
  } {
    if (this.#closed) throw closedError()
    this.#listeners.add(listener)
    this.#running ??= new RunningHub(this.#parts, this)
    return this.#running
  }

  leave(listener: TailListener): void {
    this.#listeners.delete(listener)
    if (this.#listeners.size > 0) return
    this.#running?.close()
    this.#running = undefined
  }

  close(): void {
    this.#closed = true
    this.onEnd(closedError())
    this.#running?.close()
    this.#running = undefined
  }

  onBatch(partition: number, batch: Batch, header: Header): void {
    for (const listener of this.#listeners) listener.onBatch(partition, batch, header)
  }

  onDoubt(partition: number): void {
    for (const listener of this.#listeners) listener.onDoubt(partition)
  }

  onEnd(error: HeadwaterError): void {
    for (const listener of this.#listeners) listener.onEnd(error)
  }
}

/** What a hub holds while somebody listens. */
class RunningHub {
  readonly tails: readonly PartitionTail[]
  /** For reading the log and its headers. */
  readonly connection: Connection
  readonly #channels: LiveChannels
  readonly #timer: NodeJS.Timeout
  readonly #abort = new AbortController()

  constructor(parts: LogParts, listener: TailListener) {
    const { namespace, metadata, keys, hasher, collections, openConnection, deadlineMs } = parts
    this.connection = openConnection('feed-reads')
    this.tails = keys.partitions.map(
      (of, partition) =>
        new PartitionTail({
          namespace,
          lineage: metadata.lineage,
          listener,
          connection: this.connection,
          keys: of,
          partition,
          context: { hasher, partitions: metadata.partitions, buckets: metadata.buckets, collections },
          deadlineMs,
          signal: this.#abort.signal,
        }),
    )
    this.#channels = new LiveChannels({
      connection: this.connection,
      openConnection,
      channels: keys.partitions.map(({ log }) => log),
      onMessage: (partition, bytes) => {
        const message = parseLiveMessage(bytes)
        if (message?.lineage === metadata.lineage) this.tails[partition]!.hear(message)
      },
      onLost: (partitions) => {
        for (const partition of partitions) this.tails[partition]!.doubt()
      },
      onHeard: (partitions) => this.#lookAfresh(partitions),
    })
    this.#check()
    this.#timer = setInterval(() => this.#check(), lookEveryMs)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#abort.abort(closedError())
    this.#channels.close()
    this.connection.close()
  }

  #check(): void {
    // Redis that cannot be asked now is asked again in a second.
    this.#channels.check().catch(() => {})
    this.#look(this.tails.keys())
  }

  #look(partitions: Iterable<number>): void {
    for (const partition of partitions) this.tails[partition]!.look().catch(() => {})
  }

  /** A look that is on its way may have asked before: it is not enough. */
  #lookAfresh(partitions: Iterable<number>): void {
    for (const partition of partitions) {
      const tail = this.tails[partition]!
      tail
        .look()
        .then(() => tail.look())
        .catch(() => {})
    }
  }
}

function closedError(): HeadwaterError {
  return new HeadwaterError('CLOSED', 'The log was closed while a feed followed it.')
}
