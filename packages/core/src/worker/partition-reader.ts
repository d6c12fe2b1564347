import { decodeBatch, type Batch, type StreamEntry } from '../change/batch.ts'
import type { Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { continuation, enterEpoch } from '../log/continuity.ts'
import { readHeader, type Header } from '../log/header.ts'
import { readRange, type RangeOptions } from '../log/range.ts'
import { missingHeader } from '../namespace/metadata.ts'
import type { Connection, RedisClient } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'

/**
 * The one consumer name of every group. Whoever holds the lease reads under it, so what a predecessor was given and did
 * not acknowledge is the successor's without claiming.
 */
const consumerName = 'headwater'

const leftoversAtOnce = 1_000

export interface PartitionReaderOptions extends RangeOptions {
  readonly namespace: string
  readonly group: string
  /** For the blocking read, which would hold up everything behind it. */
  readonly blocking: Connection
  readonly start: Stamp
}

/** What one read gave, in the order of the log. */
export interface ReadResult {
  readonly batches: readonly { readonly batch: Batch; readonly skip: number }[]
  /** Entries that were delivered again and hold nothing new: only to be acknowledged. */
  readonly known: readonly string[]
  /** The group had disappeared and was made again at our place. */
  readonly groupRestored: boolean
}

/** History that was read, and that the log does not have any more: a failover or restore lost it. */
export class HistoryForked extends Error {
  readonly epoch: number
  readonly from: number
  readonly to: number

  constructor(epoch: number, from: number, to: number) {
    super(`epoch ${epoch} lost sequences ${from} to ${to}`)
    this.epoch = epoch
    this.from = from
    this.to = to
  }
}

/**
 * Reads one partition for the owner of its lease. What Redis delivers is only a hint, for the lease does not fence
 * the read: a former owner's blocked read may still take an entry, a lost reply leaves entries that later ones overtake.
 * The dense sequence is the truth: what is missing is read from the log itself, what is known is dropped.
 */
export class PartitionReader {
  readonly #options: PartitionReaderOptions
  #last: Stamp
  /** Up to this entry the group was delivered before we came: read from the log, not from the group. */
  #deliveredBefore: string | undefined
  /** The client of the blocking read, and the number under which the server knows it. */
  #reading: { readonly client: RedisClient; readonly id: number } | undefined

  constructor(options: PartitionReaderOptions) {
    this.#options = options
    this.#last = options.start
  }

  /** The stamp of the last change that was given out. */
  get last(): Stamp {
    return this.#last
  }

  /**
   * Waits for changes, at most `blockMs`, and gives at most about `count` batches.
   *
   * @throws HistoryForked when what was given out is not in the log's history any more
   * @throws HeadwaterError LOG_DAMAGED when changes are missing; REDIS_UNAVAILABLE when the read did not come through
   */
  async next(count: number, blockMs: number): Promise<ReadResult> {
    if (this.#deliveredBefore === undefined) {
      this.#deliveredBefore = await this.#lastDelivered()
      const known = this.#deliveredBefore === '' ? [] : await this.#leftovers()
      if (known.length > 0) return { batches: [], known, groupRestored: false }
    }
    if (this.#deliveredBefore !== '') {
      const batches = await this.#range(count, this.#deliveredBefore)
      if (batches.length > 0)
        return { batches: await this.#continue(batches), known: [], groupRestored: false }
      this.#deliveredBefore = ''
    }
    let entries: StreamEntry[] | undefined
    try {
      entries = await this.#readGroup(count, blockMs)
    } catch (error) {
      if (!isNoGroup(error)) throw error
      await this.#restoreGroup()
      return { batches: [], known: [], groupRestored: true }
    }
    if (!entries) return { batches: await this.#afterSilence(count), known: [], groupRestored: false }
    return { ...(await this.#admit(entries)), groupRestored: false }
  }

  /**
   * Ends a read that is blocked, so that the lease need not wait for it. Where that is not possible (a Cluster, a user
   * without the right to it), the read ends by itself when its time is over.
   */
  async unblock(): Promise<void> {
    const { connection } = this.#options
    const { id } = this.#reading ?? {}
    if (id === undefined) return
    await connection.attempt((client) => client.client('UNBLOCK', id), 1_000).catch(() => {})
  }

  async #admit(entries: readonly StreamEntry[]): Promise<Pick<ReadResult, 'batches' | 'known'>> {
    const { partition, context } = this.#options
    const batches: { batch: Batch; skip: number }[] = []
    const known: string[] = []
    for (const entry of entries) {
      const batch = decodeBatch(partition, entry, context)
      let follows = continuation(this.#last, batch)
      if (follows.kind === 'gap' || follows.kind === 'new-epoch') {
        const filled = await this.#fill(batch)
        batches.push(...filled)
        // It was the last of what was missing: given out, and not yet to be acknowledged.
        if (filled.at(-1)?.batch.id === batch.id) continue
        follows = continuation(this.#last, batch)
      }
      if (follows.kind === 'follows') {
        batches.push({ batch, skip: follows.skip })
        this.#last = { epoch: batch.epoch, sequence: batch.last }
      } else {
        known.push(batch.id)
      }
    }
    return { batches, known }
  }

  /** Gives what lies between our place and a batch that does not follow it, from the log itself. */
  async #fill(until: Batch): Promise<{ batch: Batch; skip: number }[]> {
    const filled: { batch: Batch; skip: number }[] = []
    for (;;) {
      const missing = await this.#range(64, until.id)
      if (missing.length === 0) return filled
      filled.push(...(await this.#continue(missing)))
      if (missing.at(-1)!.id === until.id) return filled
    }
  }

  /** Batches in the order of the log: each must follow, or history is missing or forked. */
  async #continue(batches: readonly Batch[]): Promise<{ batch: Batch; skip: number }[]> {
    const following: { batch: Batch; skip: number }[] = []
    let header: Header | undefined
    for (const batch of batches) {
      let follows = continuation(this.#last, batch)
      if (follows.kind === 'new-epoch') {
        header ??= await this.#header()
        this.#checkHistory(header)
        follows = continuation({ epoch: batch.epoch, sequence: this.#last.sequence }, batch)
      }
      if (follows.kind === 'known') continue
      if (follows.kind !== 'follows') {
        throw new HeadwaterError(
          'LOG_DAMAGED',
          `Partition ${batch.partition} lacks sequences ${this.#last.sequence + 1} to ${batch.first - 1}, which group ${this.#options.group} has not applied: they were trimmed or deleted.`,
        )
      }
      following.push({ batch, skip: follows.skip })
      this.#last = { epoch: batch.epoch, sequence: batch.last }
    }
    return following
  }

  /** Nothing came: is there something that should have come? */
  async #afterSilence(count: number): Promise<{ batch: Batch; skip: number }[]> {
    const header = await this.#header()
    this.#checkHistory(header)
    if (header.sequence <= this.#last.sequence) return []
    // Delivered to somebody whose lease is gone, or appended this very moment.
    const batches = await this.#range(count)
    if (batches.length > 0) return await this.#continue(batches)
    const again = await this.#header()
    throw new HeadwaterError(
      'LOG_DAMAGED',
      `Partition ${this.#options.partition} ends at sequence ${this.#last.sequence}, but its header says ${again.sequence}: entries were trimmed or deleted.`,
    )
  }

  #checkHistory(header: Header): void {
    const { lost, last } = enterEpoch(this.#last, header.epoch, header)
    if (lost > 0) throw new HistoryForked(this.#last.epoch, last.sequence + 1, this.#last.sequence)
  }

  #range(count: number, to?: string): Promise<Batch[]> {
    return readRange(this.#options, { epoch: this.#last.epoch, sequence: this.#last.sequence + 1 }, count, to)
  }

  async #header(): Promise<Header> {
    const { connection, keys, deadlineMs, namespace, partition } = this.#options
    const header = await readHeader(connection, keys, deadlineMs)
    if (!header) throw missingHeader(namespace, partition)
    return header
  }

  async #readGroup(count: number, blockMs: number): Promise<StreamEntry[] | undefined> {
    const { blocking, keys, group } = this.#options
    // The client may wait for the answer for ever; two seconds after it is due, the connection counts as dead.
    const reply = await blocking.attempt(async (client) => {
      if (this.#reading?.client !== client) this.#reading = { client, id: await client.client('ID') }
      return await client.xreadgroup(
        'GROUP',
        group,
        consumerName,
        'COUNT',
        count,
        'BLOCK',
        blockMs,
        'STREAMS',
        keys.log,
        '>',
      )
    }, blockMs + 2_000)
    return (reply as [string, StreamEntry[]][] | null)?.[0]?.[1]
  }

  async #lastDelivered(): Promise<string> {
    const { connection, keys, group, deadlineMs, signal } = this.#options
    const options = {
      doing: `reading where the group ${group} stands`,
      deadlineMs,
      ...(signal && { signal }),
    }
    let groups: unknown[][]
    try {
      groups = (await persist(connection, options, (client) =>
        client.xinfo('GROUPS', keys.log),
      )) as unknown[][]
    } catch (error) {
      if (error instanceof Error && /no such key/.test(error.message)) {
        throw missingHeader(this.#options.namespace, this.#options.partition)
      }
      throw error
    }
    for (const fields of groups) {
      const of = new Map<unknown, unknown>()
      for (let at = 0; at + 1 < fields.length; at += 2) of.set(fields[at], fields[at + 1])
      if (of.get('name') === group) return String(of.get('last-delivered-id'))
    }
    return ''
  }

  /**
   * Entries that were delivered and applied, and never acknowledged: a zombie took them when they were known already, or a
   * restore brought them back. Nobody would ever ask for them again.
   */
  async #leftovers(): Promise<string[]> {
    const { connection, keys, group, deadlineMs, signal, start } = this.#options
    const options = {
      doing: `reading what is left over of group ${group}`,
      deadlineMs,
      ...(signal && { signal }),
    }
    const ids: string[] = []
    for (let from = '-'; ; from = `(${ids.at(-1)!}`) {
      const pending = await persist(connection, options, (client) =>
        client.xpending(keys.log, group, from, `${start.epoch}-${start.sequence}`, leftoversAtOnce),
      )
      for (const [id] of pending as [string][]) ids.push(id)
      if (pending.length < leftoversAtOnce) return ids
    }
  }

  /** At our own place: at `$` it would skip what waits, at 0 it would deliver everything again. */
  async #restoreGroup(): Promise<void> {
    const { connection, keys, group, deadlineMs, signal } = this.#options
    const options = { doing: `making the group ${group} again`, deadlineMs, ...(signal && { signal }) }
    const at = `${this.#last.epoch}-${this.#last.sequence}`
    await persist(connection, options, async (client) => {
      try {
        await client.xgroup('CREATE', keys.log, group, at)
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('BUSYGROUP'))) throw error
      }
    })
  }
}

function isNoGroup(error: unknown): boolean {
  return error instanceof Error && /NOGROUP|the stream key no longer exists/.test(error.message)
}
