import { HeadwaterError } from '../errors/headwater-error.ts'
import { source as epochLua } from '../namespace/epoch.lua.ts'
import { source as epochsLua } from '../namespace/epochs.lua.ts'
import { logParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { storedCollections } from '../namespace/metadata.ts'
import type { RedisClient } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { decodeHead } from '../state/state-record.ts'
import { source as purgeProducersLua } from './purge-producers.lua.ts'
import { source as purgeResultsLua } from './purge-results.lua.ts'
import { source as purgeTombstonesLua } from './purge-tombstones.lua.ts'

const purgeProducersScript = script('purge-producers', purgeProducersLua)
const purgeResultsScript = script('purge-results', epochLua, purgeResultsLua)
const purgeTombstonesScript = script('purge-tombstones', epochLua, epochsLua, purgeTombstonesLua)

export interface PurgeOptions {
  /** Only counts what would go. Default false. */
  readonly dryRun?: boolean
  /** Ends between two steps. */
  readonly signal?: AbortSignal
  /** Told after every step. */
  readonly onProgress?: (progress: PurgeProgress) => void
}

export interface PurgeProgress {
  readonly partition: number
  readonly partitions: number
  /** What is (in a dry run: would be) gone so far, over all partitions. */
  readonly removed: number
  /** Of the work that is done, at most 1. */
  readonly share: number
}

export interface PurgeProducersOptions extends PurgeOptions {
  /** How long a producer must not have stored anything, in ms. Default 7 days, at least one hour. */
  readonly olderThanMs?: number
}

const hourMs = 3_600_000
const olderThanMsDefault = 7 * 24 * hourMs
const fieldsAtOnce = 500

/**
 * Lets go of idempotency records that are older than `idempotencyWindowMs` of this log's connection: give it the window of
 * the programs that append. Appends with such keys do this by themselves; this is for when none come any more. A record
 * goes at the second purge after its window.
 *
 * @returns how many went, or would
 */
export async function purgeIdempotencyRecords(log: Log, options: PurgeOptions = {}): Promise<number> {
  const { keys, resultsWindowMs } = logParts(log)
  const steps = new Steps(log, 'purging idempotency records', options)
  steps.toLookAt = keys.partitions.length
  for (const { header, results } of keys.partitions) {
    const input = { keys: [header, ...results], args: [resultsWindowMs, steps.dry] }
    await steps.remove((client) => purgeResultsScript.run(client, input))
    steps.looked(1)
    steps.next()
  }
  return steps.removed
}

/**
 * Forgets producers (connections that appended) which stored nothing for long. A late retry of one that is forgotten is
 * never stored a second time: it gets OUTCOME_UNKNOWN, and a producer that lives goes on under a new name, unnoticed.
 *
 * @returns how many are forgotten, or would be
 * @throws HeadwaterError OPTION_INVALID
 */
export async function purgeProducers(log: Log, options: PurgeProducersOptions = {}): Promise<number> {
  const { olderThanMs = olderThanMsDefault } = options
  if (!Number.isSafeInteger(olderThanMs) || olderThanMs < hourMs) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `olderThanMs ${String(olderThanMs)} must be an integer from ${hourMs}.`,
    )
  }
  const { keys } = logParts(log)
  const steps = new Steps(log, 'purging producers', options)
  const [seconds] = await steps.persist((client) => client.time())
  const before = Number(seconds) * 1_000 - olderThanMs
  await steps.count(keys.partitions.map(({ producers }) => producers))
  for (const { header, producers } of keys.partitions) {
    for (let cursor = '0'; ;) {
      const [next, entries] = await steps.persist((client) =>
        client.hscan(producers, cursor, 'COUNT', fieldsAtOnce),
      )
      const names = entries.filter((_, at) => at % 2 === 0 && entries[at] !== '')
      const input = { keys: [header, producers], args: [before, steps.dry, ...names] }
      await steps.remove((client) => purgeProducersScript.run(client, input))
      steps.looked(entries.length / 2)
      if (next === '0') break
      cursor = next
    }
    steps.next()
  }
  return steps.removed
}

/**
 * Lets go of what the state beside the log keeps of deleted keys, once the delete itself is trimmed: so it is older than the
 * retention time, and nobody registered needs it. Such a key begins at version 1 again. Deciders keep theirs, because
 * sinks of events count on their versions.
 *
 * @returns how many went, or would
 */
export async function purgeTombstones(log: Log, options: PurgeOptions = {}): Promise<number> {
  const { connection, keys, deadlineMs, metadata } = logParts(log)
  const collections = (await storedCollections(connection, log.namespace, deadlineMs)).filter(
    ({ state, decider }) => state !== 'none' && !decider,
  )
  const steps = new Steps(log, 'purging tombstones', options)
  const buckets = Array.from({ length: metadata.buckets }, (_, bucket) => bucket)
  await steps.count(
    keys.partitions.flatMap(({ heads }) =>
      collections.flatMap(({ name }) => buckets.map((bucket) => heads(name, bucket))),
    ),
  )
  for (const { header, heads } of keys.partitions) {
    for (const { name } of collections) {
      for (const bucket of buckets) {
        const hash = heads(name, bucket)
        for (let cursor = '0'; ;) {
          const [next, entries] = await steps.persist((client) =>
            client.hscanBuffer(hash, cursor, 'COUNT', fieldsAtOnce),
          )
          const deleted: string[] = []
          for (let at = 0; at + 1 < entries.length; at += 2) {
            const field = entries[at]!.toString()
            if (field !== '' && decodeHead(entries[at + 1]!).deleted) deleted.push(field)
          }
          const input = { keys: [header, hash], args: [steps.dry, ...deleted] }
          if (deleted.length > 0) await steps.remove((client) => purgeTombstonesScript.run(client, input))
          steps.looked(entries.length / 2)
          if (next.toString() === '0') break
          cursor = next.toString()
        }
      }
    }
    steps.next()
  }
  return steps.removed
}

/** What every purge does between two of its steps. */
class Steps {
  removed = 0
  /** So much there is to look at. */
  toLookAt = 0
  /** What scripts are told: 1 to only count. */
  readonly dry: 0 | 1
  readonly #log: Log
  readonly #doing: string
  readonly #options: PurgeOptions
  #partition = 0
  #looked = 0

  constructor(log: Log, doing: string, options: PurgeOptions) {
    this.#log = log
    this.#doing = doing
    this.#options = options
    this.dry = options.dryRun ? 1 : 0
  }

  async persist<T>(command: (client: RedisClient) => Promise<T>): Promise<T> {
    const { signal } = this.#options
    const { connection, deadlineMs } = logParts(this.#log)
    const options = { doing: this.#doing, deadlineMs, ...(signal && { signal }) }
    return await persist(connection, options, command)
  }

  /** Counts the fields that there are to look at, where somebody wants to know. */
  async count(hashes: readonly string[]): Promise<void> {
    if (!this.#options.onProgress) return
    const lengths = await this.persist((client) => Promise.all(hashes.map((hash) => client.hlen(hash))))
    this.toLookAt = lengths.reduce((sum, length) => sum + length, 0)
  }

  /** Runs a script that answers how much it removed. */
  async remove(run: (client: RedisClient) => Promise<unknown>): Promise<void> {
    this.removed += Number(await this.persist(run))
  }

  /** Ends a step, in which so much was looked at. */
  looked(number: number): void {
    this.#looked += number
    // What is written meanwhile was not counted.
    const share = Math.min(1, this.#looked / Math.max(1, this.toLookAt))
    const [partition, { partitions }] = [this.#partition, this.#log]
    this.#options.onProgress?.({ partition, partitions, removed: this.removed, share })
  }

  /** On to the next partition. */
  next(): void {
    this.#partition++
  }
}
