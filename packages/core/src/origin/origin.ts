import { randomBytes } from 'node:crypto'
import type { Appender } from '../append/appender.ts'
import type { AppendResult } from '../append/append-result.ts'
import type { RoutedChange, Router } from '../append/prepare.ts'
import { hashOfLanes } from '../change/content-hash.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import type { ErrorCode } from '../errors/error-codes.ts'
import type { NamespaceKeys } from '../namespace/keys.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { source as epochLua } from '../namespace/epoch.lua.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { persist } from '../redis/persist.ts'
import { script, type Script } from '../redis/script.ts'
import { StateHeads } from '../state/state-heads.ts'
import type { StateHead } from '../state/state-record.ts'
import { originFenced, type AppendOrigin } from './append-from-origin.ts'
import { source as fencePartitionLua } from './fence-partition.lua.ts'
import { source as saveProgressLua } from './save-progress.lua.ts'
import { source as takeOriginLua } from './take-origin.lua.ts'

export interface OriginOptions {
  /** What it feeds. A collection has one origin, because what the log has and the origin has not is deleted. */
  readonly collections: readonly AnyCollection[]
}

/** What an origin says of one key. */
export interface OriginValue {
  readonly collection: AnyCollection
  readonly key: string
  /** As `put` takes it; undefined where the key is gone. */
  readonly value: unknown
}

/** What became of one value that an origin brought. */
export type OriginOutcome =
  | { readonly kind: 'appended'; readonly result: AppendResult }
  /** The log has it already: nothing was appended. */
  | { readonly kind: 'unchanged' }
  /** It can never enter as it is; the others did. */
  | { readonly kind: 'rejected'; readonly error: HeadwaterError }

const takeScript: Script = script('take-origin', takeOriginLua)
const fenceScript: Script = script('fence-partition', fencePartitionLua)
const saveScript: Script = script('save-origin-progress', epochLua, saveProgressLua)

/** What is wrong with one change and not with the log. */
const wrongChange: readonly ErrorCode[] = ['KEY_INVALID', 'VALUE_INVALID', 'VALUE_TOO_LARGE']

/**
 * The right to bring another system's data into the log, for one process at a time: who takes it last has it, and nothing
 * of anybody before him gets in from then on. Within one token positions only rise.
 *
 * What is unchanged is found by comparing content hashes with the heads of the state before the append, and not by the append
 * script: the fence leaves nobody who could write in between, and other appends pay nothing for it.
 */
export class Origin {
  readonly name: string
  readonly #parts: LogParts
  readonly #appender: Appender
  readonly #heads: StateHeads
  readonly #collections: readonly AnyCollection[]
  /** In every token of ours and in nobody else's. */
  readonly #mark = randomBytes(9).toString('base64url')
  #token = ''
  #progress: string | undefined
  #latest: AppendOrigin | undefined
  /** The replication id of the server that saved last. */
  #server = ''

  private constructor(
    parts: LogParts,
    router: Router,
    appender: Appender,
    name: string,
    collections: readonly AnyCollection[],
  ) {
    this.name = name
    this.#parts = parts
    this.#appender = appender
    this.#heads = new StateHeads(parts.connection, parts.keys, router, parts.deadlineMs)
    this.#collections = collections
  }

  /** Takes it from whoever has it. @throws HeadwaterError OPTION_INVALID, STATE_REQUIRED */
  static async take(
    parts: LogParts,
    router: Router,
    appender: Appender,
    name: string,
    { collections }: OriginOptions,
  ): Promise<Origin> {
    if (typeof name !== 'string' || !/^[a-zA-Z0-9_.-]{1,64}$/.test(name)) {
      throw new HeadwaterError(
        'OPTION_INVALID',
        `origin ${quoted(name)} must be 1 to 64 of letters, digits, "_", "." and "-".`,
      )
    }
    const stateless = collections.find(({ state, decides }) => state === 'none' || decides !== undefined)
    if (stateless) {
      throw new HeadwaterError(
        'STATE_REQUIRED',
        `${stateless.name} takes events, not values: there is no state that an origin could be compared with.`,
      )
    }
    const origin = new Origin(parts, router, appender, name, collections)
    await origin.#take('')
    return origin
  }

  /** What was saved last, by whoever had it; undefined when nothing was. */
  get progress(): string | undefined {
    return this.#progress
  }

  /**
   * Begins another order of positions, if the origin is still ours: they may start from 0 again.
   *
   * @throws HeadwaterError ORIGIN_FENCED
   */
  async renew(): Promise<void> {
    await this.#take(this.#token)
  }

  /**
   * Appends what differs from what the log has, each key by itself: to bring a value again appends nothing. Await it before
   * the next value of the same key.
   *
   * @param position where the origin was when the values were read: whole, from 0, and never lower than before
   * @throws HeadwaterError ORIGIN_FENCED, REDIS_UNAVAILABLE, OUTCOME_UNKNOWN and others, for all of them: repeat the call
   */
  async append(
    values: readonly OriginValue[],
    position: number,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<OriginOutcome[]> {
    const prepared = await Promise.all(values.map((value) => this.#prepare(value)))
    const heads = await this.#headsOf(prepared)
    const origin = this.#at(position)
    const told = { origin: this.name, ...metadata }
    const settled = await Promise.allSettled(
      prepared.map(async (change): Promise<OriginOutcome> => {
        if (change instanceof HeadwaterError) return { kind: 'rejected', error: change }
        if (isUnchanged(change, heads.get(change))) return { kind: 'unchanged' }
        return { kind: 'appended', result: await this.#appender.appendPrepared(change, origin, told) }
      }),
    )
    return settled.map((of) => {
      if (of.status === 'fulfilled') return of.value
      throw of.reason
    })
  }

  /**
   * Saves how far it is, for whoever takes it next: at most a few KB of text. Answers `log-may-have-lost` once, and saves
   * nothing, when the log's server was started again or replaced since the last time: compare everything before the next call.
   *
   * @throws HeadwaterError ORIGIN_FENCED
   */
  async save(progress: string): Promise<'saved' | 'log-may-have-lost'> {
    const input = { keys: [this.#keys.origins], args: [this.name, this.#token, progress, this.#server] }
    const [word, server = ''] = (await this.#run(saveScript, input)) as string[]
    if (word === 'fenced') throw originFenced(this.name)
    this.#server = server
    if (word === 'another-server') return 'log-may-have-lost'
    this.#progress = progress
    return 'saved'
  }

  /** The keys of a collection that the log has as present, page by page; one may come twice. */
  async *keys(collection: AnyCollection): AsyncGenerator<readonly string[]> {
    for (const partition of this.#keys.partitions.keys()) {
      for (let bucket = 0; bucket < this.#parts.metadata.buckets; bucket++) {
        for await (const page of this.#heads.list(collection, partition, bucket)) {
          const present = [...page].flatMap(([key, { deleted }]) => (deleted ? [] : [key]))
          if (present.length > 0) yield present
        }
      }
    }
  }

  get #keys(): NamespaceKeys {
    return this.#parts.keys
  }

  /** The same object for the same position: what may share a batch. */
  #at(position: number): AppendOrigin {
    const { name } = this
    if (this.#latest?.token !== this.#token || this.#latest.position !== position)
      this.#latest = { name, token: this.#token, position }
    return this.#latest
  }

  async #prepare({ collection, key, value }: OriginValue): Promise<RoutedChange | HeadwaterError> {
    try {
      const request = value === undefined ? collection.delete(key) : collection.put(value)
      const change = await this.#appender.prepare(request)
      if (change.key === key) return change
      return new HeadwaterError(
        'KEY_INVALID',
        `The value of key ${JSON.stringify(key)} of ${collection.name} has the key ${JSON.stringify(change.key)}.`,
      )
    } catch (error) {
      if (isHeadwaterError(error)) {
        if (wrongChange.includes(error.code)) return error
        throw error
      }
      // A schema of the user may throw whatever it likes.
      return new HeadwaterError('VALUE_INVALID', `The schema of ${collection.name} failed: ${String(error)}.`)
    }
  }

  async #headsOf(
    prepared: readonly (RoutedChange | HeadwaterError)[],
  ): Promise<Map<RoutedChange, StateHead | undefined>> {
    const byCollection = new Map<AnyCollection, RoutedChange[]>()
    for (const change of prepared) {
      if (change instanceof HeadwaterError) continue
      const changes = byCollection.get(change.collection)
      if (changes) changes.push(change)
      else byCollection.set(change.collection, [change])
    }
    const heads = new Map<RoutedChange, StateHead | undefined>()
    await Promise.all(
      [...byCollection].map(async ([collection, changes]) => {
        const read = await this.#heads.read(
          collection,
          changes.map(({ key }) => key),
        )
        for (const [index, change] of changes.entries()) heads.set(change, read[index])
      }),
    )
    return heads
  }

  /** @param holds the token that must still hold; '' to take it from anybody */
  async #take(holds: string): Promise<void> {
    const collections = this.#collections.map(({ name }) => name)
    // Ours, as far as we know: a renewal whose reply was lost has gone beyond it, and that is as good as a new one.
    for (let tooLow = Number.parseInt(holds, 10) || 0; ;) {
      const input = {
        keys: [this.#keys.origins],
        args: [this.name, this.#mark, holds, tooLow, ...collections],
      }
      const [word, held, rest] = (await this.#run(takeScript, input)) as string[]
      if (word === 'fenced') throw originFenced(this.name)
      if (word === 'fed') {
        throw new HeadwaterError(
          'OPTION_INVALID',
          `Collection ${held} is fed by the origin ${JSON.stringify(rest)}, and can have no other.`,
        )
      }
      this.#token = held!
      this.#progress = rest === '' ? undefined : rest
      const greater = await this.#fence()
      if (greater === undefined) return
      // A partition knows a later token: of somebody who took it since, or of a past that a restored copy has forgotten.
      tooLow = greater
      holds = this.#token
    }
  }

  /** Returns the number of the token that a partition has instead of ours. */
  async #fence(): Promise<number | undefined> {
    for (const [partition, { header, origins }] of this.#keys.partitions.entries()) {
      const input = { keys: [header, origins], args: [this.name, this.#token] }
      const held = String(await this.#run(fenceScript, input))
      if (held === '') throw missingHeader(this.#parts.namespace, partition)
      if (held !== this.#token) return Number.parseInt(held, 10)
    }
    return undefined
  }

  async #run(of: Script, input: Parameters<Script['run']>[1]): Promise<unknown> {
    const { connection, deadlineMs } = this.#parts
    const options = { doing: `the origin ${JSON.stringify(this.name)}`, deadlineMs }
    return await persist(connection, options, (client) => of.run(client, input))
  }
}

function isUnchanged(change: RoutedChange, head: StateHead | undefined): boolean {
  if (change.operation === 'd') return head === undefined || head.deleted
  return head !== undefined && !head.deleted && head.hash === hashOfLanes(change.hash.high, change.hash.low)
}
