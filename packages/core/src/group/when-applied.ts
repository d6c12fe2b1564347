import { locate, type Router } from '../append/prepare.ts'
import type { Batch, BatchContext } from '../change/batch.ts'
import { escapeKey } from '../change/key.ts'
import { formatPosition, parsePosition, type PositionParts } from '../change/position.ts'
import { compareStamps, type Stamp } from '../change/stamp.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { isLost, parseHeader } from '../log/header.ts'
import { readEntries, type UnreadableEntry } from '../log/range.ts'
import { missingHeader } from '../namespace/metadata.ts'
import type { NamespaceKeys, PartitionKeys } from '../namespace/keys.ts'
import { wasDropped } from '../parking/drop.ts'
import { entryField, parkedField, parseParkedKey } from '../parking/parked-key.ts'
import type { Connection } from '../redis/connection.ts'
import { pause, persist } from '../redis/persist.ts'
import { decodeHead } from '../state/state-record.ts'
import { formatCheckpoint, parseCheckpoint } from './checkpoint.ts'

/**
 * What became of a change at a group's sink.
 *
 * - `applied`: the sink holds it
 * - `superseded`: the sink holds a newer state of its key
 * - `parked`: it was set aside, because the sink rejects it or an earlier change of its key
 * - `dropped`: it was set aside, and somebody gave it up
 * - `lost`: a failover or restore lost it; it is not in the log any more
 */
export type AppliedAnswer = 'applied' | 'superseded' | 'parked' | 'dropped' | 'lost'

export interface WhenAppliedOptions {
  readonly group: string
  /** Default 10,000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface AppliedWatchOptions {
  readonly namespace: string
  readonly connection: Connection
  readonly keys: NamespaceKeys
  readonly context: BatchContext
  readonly router: Router
  readonly collections: ReadonlyMap<string, AnyCollection>
  readonly deadlineMs: number
}

interface Waiter {
  readonly stamp: Stamp
  readonly position: PositionParts
  readonly resolve: (answer: AppliedAnswer) => void
  readonly reject: (error: unknown) => void
}

const pollMs = { first: 1, max: 40 }

/**
 * Watches the checkpoints of groups for everybody in this process who waits for one: however many wait, each partition is
 * asked once a round. Works from any process, since the checkpoints are in Redis.
 */
export class AppliedWatch {
  readonly #options: AppliedWatchOptions
  /** By group, then partition. */
  readonly #waiting = new Map<string, Map<number, Set<Waiter>>>()
  #polling = false
  #nextPollMs = pollMs.first

  constructor(options: AppliedWatchOptions) {
    this.#options = options
  }

  async wait(
    position: string,
    { group, timeoutMs = 10_000, signal }: WhenAppliedOptions,
  ): Promise<AppliedAnswer> {
    const parts = parsePosition(position)
    if (parts.partition >= this.#options.keys.partitions.length) {
      throw new HeadwaterError(
        'POSITION_INVALID',
        `Position ${position} is of partition ${parts.partition}; this log has ${this.#options.keys.partitions.length}.`,
      )
    }
    signal?.throwIfAborted()
    const waiters = this.#waitersOf(group, parts.partition)
    let waiter: Waiter | undefined
    let timer: NodeJS.Timeout | undefined
    let aborted: (() => void) | undefined
    try {
      return await new Promise<AppliedAnswer>((resolve, reject) => {
        waiter = { stamp: { epoch: parts.epoch, sequence: parts.sequence }, position: parts, resolve, reject }
        waiters.add(waiter)
        timer = setTimeout(() => void this.#timedOut(group, parts, timeoutMs).then(reject, reject), timeoutMs)
        aborted = () => reject(signal?.reason as Error)
        signal?.addEventListener('abort', aborted, { once: true })
        this.#nextPollMs = pollMs.first
        if (!this.#polling) void this.#poll()
      })
    } finally {
      clearTimeout(timer)
      if (aborted) signal?.removeEventListener('abort', aborted)
      waiters.delete(waiter!)
    }
  }

  /** Rejects everybody who still waits. */
  close(): void {
    const closed = new HeadwaterError(
      'CLOSED',
      'The log was closed while this waited for a change to be applied.',
    )
    for (const waiter of this.#all()) waiter.reject(closed)
  }

  #waitersOf(group: string, partition: number): Set<Waiter> {
    let partitions = this.#waiting.get(group)
    if (!partitions) this.#waiting.set(group, (partitions = new Map<number, Set<Waiter>>()))
    let waiters = partitions.get(partition)
    if (!waiters) partitions.set(partition, (waiters = new Set()))
    return waiters
  }

  *#all(): Generator<Waiter> {
    for (const partitions of this.#waiting.values()) {
      for (const waiters of partitions.values()) yield* waiters
    }
  }

  async #poll(): Promise<void> {
    this.#polling = true
    while ([...this.#all()].length > 0) {
      await Promise.all(
        [...this.#waiting].flatMap(([group, partitions]) =>
          [...partitions].map(async ([partition, waiters]) => {
            if (waiters.size === 0) return
            try {
              await this.#look(group, partition, [...waiters])
            } catch (error) {
              for (const waiter of waiters) waiter.reject(error)
            }
          }),
        ),
      )
      await pause(this.#nextPollMs)
      this.#nextPollMs = Math.min(pollMs.max, this.#nextPollMs * 2)
    }
    this.#polling = false
  }

  async #look(group: string, partition: number, waiters: readonly Waiter[]): Promise<void> {
    const { connection, keys, deadlineMs, namespace } = this.#options
    const of = keys.partitions[partition]!
    const options = { doing: `reading the checkpoint of the group ${group}`, deadlineMs }
    // The checkpoint first: a header that is read later cannot miss history that the checkpoint already contains.
    const [[text, copy], fields] = await persist(connection, options, (client) =>
      Promise.all([client.hmget(of.group(group), 'checkpoint', 'copy'), client.hgetall(of.header)]),
    )
    if (typeof text !== 'string') {
      throw new HeadwaterError(
        'GROUP_UNKNOWN',
        `No group ${JSON.stringify(group)} is registered at namespace ${JSON.stringify(namespace)}.`,
      )
    }
    const header = parseHeader(fields)
    if (!header) throw missingHeader(namespace, partition)
    const checkpoint = parseCheckpoint(text)
    const reached: Waiter[] = []
    for (const waiter of waiters) {
      if (isLost(header, waiter.stamp)) waiter.resolve('lost')
      // During a first copy the checkpoint only says from where the log is read afterwards.
      else if (!copy && compareStamps(checkpoint, waiter.stamp) >= 0) reached.push(waiter)
    }
    if (reached.length > 0) await this.#answer(group, partition, checkpoint, reached)
  }

  /** The checkpoint has passed: tells what that means for each of these changes. */
  async #answer(
    group: string,
    partition: number,
    checkpoint: Stamp,
    waiters: readonly Waiter[],
  ): Promise<void> {
    const { connection, keys, context, deadlineMs } = this.#options
    const of = keys.partitions[partition]!
    let batch: Batch | undefined
    for (const waiter of waiters.toSorted((a, b) => compareStamps(a.stamp, b.stamp))) {
      const { stamp } = waiter
      if (!batch || batch.last < stamp.sequence) {
        const range = { connection, keys: of, partition, context, deadlineMs }
        const entries = await readEntries(range, formatCheckpoint(stamp), 16)
        batch = entries.find((entry): entry is Batch => !('unreadable' in entry))
        const [first] = entries
        if (first && 'unreadable' in first && !(batch && batch.first <= stamp.sequence)) {
          await this.#answerUnreadable(group, of, first, waiter)
          continue
        }
      }
      const change = batch?.changes[stamp.sequence - batch.first]
      // Trimmed since: retention only removes what every group is done with.
      if (!change || change.stamp.epoch !== stamp.epoch) {
        waiter.resolve('applied')
        continue
      }
      const options = { doing: `reading what became of ${formatPosition(partition, stamp)}`, deadlineMs }
      const collection = this.#options.collections.get(change.collection)
      const field = parkedField(change.collection, change.key)
      const [marker, dropped] = await persist(connection, options, (client) =>
        Promise.all([client.hget(of.parkedKeys(group), field), client.hget(of.dropped(group), field)]),
      )
      if (marker && compareStamps(parseParkedKey(marker).first, stamp) <= 0) {
        waiter.resolve('parked')
        continue
      }
      if (wasDropped(dropped, stamp)) {
        waiter.resolve('dropped')
        continue
      }
      // An event is not undone by a later one: whoever holds the later state holds its effect.
      if (!collection || change.kind === 'event') {
        waiter.resolve('applied')
        continue
      }
      const { bucket } = locate(this.#options.router, collection, change.key)
      const bytes = await persist(connection, options, (client) =>
        client.hgetBuffer(of.heads(collection.name, bucket), escapeKey(change.key)),
      )
      const latest = bytes ? decodeHead(bytes).stamp : stamp
      const superseded = compareStamps(latest, stamp) > 0 && compareStamps(latest, checkpoint) <= 0
      waiter.resolve(superseded ? 'superseded' : 'applied')
    }
  }

  /** Of a change that stood in an entry which cannot be decoded. */
  async #answerUnreadable(
    group: string,
    of: PartitionKeys,
    { id, unreadable }: UnreadableEntry,
    waiter: Waiter,
  ): Promise<void> {
    const { connection, deadlineMs } = this.#options
    const options = { doing: `reading what became of entry ${id}`, deadlineMs }
    const field = entryField(id)
    const [parked, dropped] = await persist(connection, options, (client) =>
      Promise.all([client.hexists(of.parkedKeys(group), field), client.hexists(of.dropped(group), field)]),
    )
    if (parked) waiter.resolve('parked')
    else if (dropped) waiter.resolve('dropped')
    else waiter.reject(unreadable)
  }

  async #timedOut(group: string, position: PositionParts, timeoutMs: number): Promise<HeadwaterError> {
    const { connection, keys } = this.#options
    const of = keys.partitions[position.partition]!
    let lag = 'its lag could not be read'
    try {
      const [[checkpoint, copy], sequence] = await persist(
        connection,
        { doing: 'reading the lag', deadlineMs: 1_000 },
        (client) =>
          Promise.all([
            client.hmget(of.group(group), 'checkpoint', 'copy'),
            client.hget(of.header, 'sequence'),
          ]),
      )
      lag = copy
        ? 'its sink still gets its first copy in that partition'
        : `it is ${Number(sequence) - parseCheckpoint(checkpoint).sequence} changes behind in that partition`
    } catch {
      // The timeout is the news; that its reason cannot be told is in the message.
    }
    return new HeadwaterError(
      'WAIT_TIMEOUT',
      `Group ${group} did not apply ${formatPosition(position.partition, position)} within ${timeoutMs} ms; ${lag}.`,
    )
  }
}
