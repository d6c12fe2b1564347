import { Appender, type AppendOptions } from '../append/appender.ts'
import type { AppendResult } from '../append/append-result.ts'
import type { ChangeRequest } from '../append/change-request.ts'
import { decide, type Decision, type DecideOptions } from '../append/decide.ts'
import { locate, type Router } from '../append/prepare.ts'
import type { Change } from '../change/change.ts'
import { createHasher } from '../change/content-hash.ts'
import { formatPosition, parsePosition, type Position } from '../change/position.ts'
import type { AnyCollection, CollectionOf } from '../collection/collection.ts'
import type { Decider } from '../collection/decider.ts'
import { checkKnown } from '../collection/known-collections.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { checkedTime, historyOf, valueAt, type Moment, type PastOfPartition } from '../log/history.ts'
import type { ReadOptions } from '../log/read.ts'
import type { Log } from '../namespace/log.ts'
import { bucketsOfPartition } from '../namespace/metadata.ts'
import { entitiesOf, type Entity } from '../state/state-reader.ts'
import { FakePartitions } from './fake-partitions.ts'

/** What an application does with a log, short of groups and feeds: take this type, and tests can pass a fake. */
export type LogForApplications = Pick<
  Log,
  | 'namespace'
  | 'partitions'
  | 'append'
  | 'decide'
  | 'get'
  | 'getMany'
  | 'read'
  | 'end'
  | 'history'
  | 'getAt'
  | 'positionAt'
  | 'close'
>

export interface FakeLogOptions {
  readonly collections: readonly AnyCollection[]
  /** Default `fake`. */
  readonly namespace?: string
  /** Default 8, as for a real one. */
  readonly partitions?: number
  /** The clock of the log, in ms since 1970. Default: the system's. */
  readonly now?: () => number
}

/**
 * A log in memory for tests of applications: validation, versions, conflicts, idempotency keys, deciders and history as
 * the real one has them (and the same test holds both to it), no server, no failures, nothing kept.
 */
export async function fakeLog(options: FakeLogOptions): Promise<LogForApplications> {
  const { collections, namespace = 'fake', partitions = 8, now = Date.now } = options
  const router: Router = { hasher: await createHasher(0n), partitions, buckets: bucketsOfPartition }
  return new FakeLog(namespace, router, new Map(collections.map((one) => [one.name, one])), now)
}

const deadlineMs = 10_000

class FakeLog implements LogForApplications {
  readonly namespace: string
  readonly #router: Router
  readonly #collections: ReadonlyMap<string, AnyCollection>
  readonly #log: FakePartitions
  readonly #appender: Appender
  #closed = false

  constructor(
    namespace: string,
    router: Router,
    collections: ReadonlyMap<string, AnyCollection>,
    now: () => number,
  ) {
    this.namespace = namespace
    this.#router = router
    this.#collections = collections
    this.#log = new FakePartitions(router, { ...router, collections }, now)
    this.#appender = new Appender({
      router,
      state: this.#log,
      target: this.#log,
      durability: 'memory',
      replicas: 0,
      deadlineMs,
      checkCollection: (collection) => checkKnown(collections, collection),
    })
  }

  get partitions(): number {
    return this.#router.partitions
  }

  append(change: ChangeRequest, options?: AppendOptions): Promise<AppendResult>
  append(changes: readonly ChangeRequest[], options?: AppendOptions): Promise<AppendResult[]>
  async append(
    changes: ChangeRequest | readonly ChangeRequest[],
    options: AppendOptions = {},
  ): Promise<AppendResult | AppendResult[]> {
    this.#checkOpen('append')
    return await this.#appender.append(changes as ChangeRequest, options)
  }

  async decide<State, Command, Event>(
    decider: Decider<State, Command, Event>,
    key: string,
    command: Command,
    options: DecideOptions = {},
  ): Promise<Decision<State, Event>> {
    this.#checkOpen('decide')
    const eventsAt = async (first: Position, count: number): Promise<unknown[]> => {
      const { partition, sequence } = parsePosition(first)
      const changes = this.#log.batches(partition).flatMap((batch) => batch.changes)
      return changes.slice(sequence - 1, sequence - 1 + count).map(({ value }) => value)
    }
    return await decide({ appender: this.#appender, deadlineMs, eventsAt }, decider, key, command, options)
  }

  async get<T>(collection: CollectionOf<T>, key: string): Promise<Entity<T> | undefined> {
    const [entity] = await this.getMany(collection, [key])
    return entity
  }

  async getMany<T>(collection: CollectionOf<T>, keys: readonly string[]): Promise<(Entity<T> | undefined)[]> {
    this.#checkOpen('get')
    checkKnown(this.#collections, collection)
    return await entitiesOf(this.#router, this.#log, collection, keys)
  }

  async *read(
    partition: number,
    from: 'beginning' | Position = 'beginning',
    { limit = Number.POSITIVE_INFINITY, signal }: ReadOptions = {},
  ): AsyncGenerator<Change> {
    this.#checkOpen('read')
    this.#checkPartition(partition)
    let after = 0
    if (from !== 'beginning') {
      const position = parsePosition(from)
      if (position.partition !== partition) {
        throw new HeadwaterError(
          'POSITION_INVALID',
          `Position ${from} is of partition ${position.partition}, not ${partition}.`,
        )
      }
      after = position.sequence
    }
    const changes = this.#log.batches(partition).flatMap((batch) => batch.changes)
    if (after > changes.length) {
      throw new HeadwaterError('LOG_DAMAGED', `Position ${from} is not in the history of this log.`)
    }
    for (const change of changes.slice(after, after + limit)) {
      signal?.throwIfAborted()
      yield change
    }
  }

  async end(partition: number): Promise<Position> {
    this.#checkOpen('end')
    this.#checkPartition(partition)
    return formatPosition(partition, { epoch: 1, sequence: this.#log.batches(partition).at(-1)?.last ?? 0 })
  }

  history<State, Command, Event>(
    decider: Decider<State, Command, Event>,
    key: string,
    options?: Pick<ReadOptions, 'signal'>,
  ): AsyncIterable<Change<Event>>
  history<T>(
    collection: CollectionOf<T>,
    key: string,
    options?: Pick<ReadOptions, 'signal'>,
  ): AsyncIterable<Change<T>>
  history(
    collection: AnyCollection,
    key: string,
    options?: Pick<ReadOptions, 'signal'>,
  ): AsyncIterable<Change> {
    checkKnown(this.#collections, collection)
    const { partition } = locate(this.#router, collection, key)
    return historyOf(this.read(partition, 'beginning', options), collection, key)
  }

  async getAt<T>(collection: CollectionOf<T>, key: string, moment: Moment): Promise<Entity<T> | undefined> {
    this.#checkOpen('getAt')
    checkKnown(this.#collections, collection)
    const { partition } = locate(this.#router, collection, key)
    return await valueAt(this.#past(partition), collection, key, moment)
  }

  async positionAt(partition: number, time: number | Date): Promise<Position | 'beginning'> {
    this.#checkOpen('positionAt')
    this.#checkPartition(partition)
    const stamp = await this.#past(partition).stampAt(checkedTime(time))
    return stamp ? formatPosition(partition, stamp) : 'beginning'
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#appender.idle()
  }

  #past(partition: number): PastOfPartition {
    const batches = this.#log.batches(partition)
    return {
      partition,
      async *backwards(upTo) {
        yield* batches.filter(({ first }) => !upTo || first <= upTo.sequence).toReversed()
      },
      async stampAt(time) {
        const last = batches.findLast((batch) => batch.time <= time)
        return last && { epoch: last.epoch, sequence: last.last }
      },
      beginsAt: async () => 1,
    }
  }

  #checkPartition(partition: number): void {
    if (Number.isInteger(partition) && partition >= 0 && partition < this.partitions) return
    throw new HeadwaterError(
      'OPTION_INVALID',
      `Partition ${String(partition)} does not exist; this log has 0 to ${this.partitions - 1}.`,
    )
  }

  #checkOpen(what: string): void {
    if (this.#closed) throw new HeadwaterError('CLOSED', `${what} was called after the log was closed.`)
  }
}
