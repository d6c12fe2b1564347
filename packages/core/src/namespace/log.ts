import { Appender, type AppendOptions } from '../append/appender.ts'
import type { AppendResult } from '../append/append-result.ts'
import type { ChangeRequest } from '../append/change-request.ts'
import { decide, type Decision, type DecideOptions } from '../append/decide.ts'
import { Lanes } from '../append/lanes.ts'
import { locate, type Router } from '../append/prepare.ts'
import { PartitionArchive } from '../archive/partition-archive.ts'
import type { BatchContext } from '../change/batch.ts'
import type { Change } from '../change/change.ts'
import { formatPosition, parsePosition, type Position } from '../change/position.ts'
import type { AnyCollection, CollectionOf } from '../collection/collection.ts'
import type { Decider } from '../collection/decider.ts'
import { checkKnown } from '../collection/known-collections.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { openFeed, type Feed, type FeedOptions } from '../feed/feed.ts'
import { LiveHub } from '../feed/live-hub.ts'
import { readSnapshot } from '../feed/snapshot.ts'
import { checkGroupName } from '../group/group-name.ts'
import { groupNames, groupStatus, type PartitionStatus } from '../group/group-status.ts'
import { AppliedWatch, type AppliedAnswer, type WhenAppliedOptions } from '../group/when-applied.ts'
import { readHeader } from '../log/header.ts'
import { checkedTime, historyOf, valueAt, type Moment } from '../log/history.ts'
import { pastOf } from '../log/look-back.ts'
import { readRange, type RangeOptions } from '../log/range.ts'
import { readPartition, type ReadOptions } from '../log/read.ts'
import { whenHeld, type WhenAppliedAtNodesOptions } from '../nodes/when-held.ts'
import { Origin, type OriginOptions } from '../origin/origin.ts'
import { Parking } from '../parking/parking.ts'
import { checkValuesKept, StateReader, type Entity } from '../state/state-reader.ts'
import { Steering } from '../steering/steering.ts'
import { AppendTelemetry } from '../telemetry/append-telemetry.ts'
import { checkDurability, replicasRequired } from './durability.ts'
import type { PartitionKeys } from './keys.ts'
import { setLogParts, type LogParts } from './log-parts.ts'
import { missingHeader, storedCollections, type StoredCollection } from './metadata.ts'

/** An open log: append to it, read from it, wait for its groups. Made by `connect`. */
export class Log implements AsyncDisposable {
  readonly namespace: string
  readonly #parts: LogParts
  readonly #context: BatchContext
  readonly #router: Router
  readonly #state: StateReader
  readonly #appender: Appender
  readonly #applied: AppliedWatch
  readonly #hub: LiveHub
  #closed: Promise<void> | undefined

  constructor(parts: LogParts) {
    const { metadata, hasher, keys, namespace, connection, deadlineMs, collections } = parts
    setLogParts(this, parts)
    this.namespace = namespace
    this.#parts = parts
    const router: Router = (this.#router = {
      hasher,
      partitions: metadata.partitions,
      buckets: metadata.buckets,
    })
    this.#context = { hasher, partitions: metadata.partitions, buckets: metadata.buckets, collections }
    this.#state = new StateReader(connection, keys, router, deadlineMs)
    const telemetry = new AppendTelemetry(namespace)
    const { durability, replicas } = metadata
    telemetry.declared(durability, replicasRequired(durability, replicas))
    this.#appender = new Appender({
      router,
      state: this.#state,
      target: new Lanes({ ...parts, telemetry }),
      telemetry,
      deadlineMs,
      durability: metadata.durability,
      checkDurability: (durability) =>
        checkDurability(connection, durability, deadlineMs, 'An append asks for'),
      replicas: metadata.replicas,
      checkCollection: (collection) => this.#checkCollection(collection),
    })
    this.#applied = new AppliedWatch({
      namespace,
      connection,
      keys,
      context: this.#context,
      router,
      collections,
      deadlineMs,
    })
    this.#hub = new LiveHub(parts)
  }

  get partitions(): number {
    return this.#parts.metadata.partitions
  }

  /**
   * Appends one change, or a list that enters as a whole or not at all. Resolves when the change is in the log under the
   * durability asked for. Appends that are in flight together share batches, so do not await them one by one.
   *
   * @throws VersionConflictError when a key is not at its expected version
   * @throws HeadwaterError KEY_INVALID, VALUE_INVALID, VALUE_TOO_LARGE, PARTITIONS_DIFFER, DURABILITY_UNAVAILABLE before anything is sent;
   * REDIS_FULL, REDIS_UNAVAILABLE when nothing was stored; OUTCOME_UNKNOWN, DURABILITY_NOT_REACHED when it may have been
   */
  append(change: ChangeRequest, options?: AppendOptions): Promise<AppendResult>
  append(changes: readonly ChangeRequest[], options?: AppendOptions): Promise<AppendResult[]>
  append(
    changes: ChangeRequest | readonly ChangeRequest[],
    options: AppendOptions = {},
  ): Promise<AppendResult | AppendResult[]> {
    if (this.#closed) return Promise.reject(this.#closedError('append'))
    return this.#appender.append(changes as ChangeRequest, options)
  }

  /**
   * Lets a decider decide a command on the state of a key, and appends the events on exactly that state. When somebody
   * else changed the key meanwhile, it is decided again. What `decide` throws rejects the call, and nothing is appended.
   *
   * @throws VersionConflictError when retries are over; HeadwaterError EVENT_INVALID, and what `append` throws
   */
  async decide<State, Command, Event>(
    decider: Decider<State, Command, Event>,
    key: string,
    command: Command,
    options: DecideOptions = {},
  ): Promise<Decision<State, Event>> {
    if (this.#closed) throw this.#closedError('decide')
    const { deadlineMs } = this.#parts
    const port = {
      appender: this.#appender,
      deadlineMs,
      eventsAt: (first: Position, count: number) => this.#eventsAt(first, count),
    }
    return await decide(port, decider, key, command, options)
  }

  /** The latest value of a key as the log has it, or undefined when the key is absent. */
  async get<T>(collection: CollectionOf<T>, key: string): Promise<Entity<T> | undefined> {
    const [entity] = await this.getMany(collection, [key])
    return entity
  }

  /** The latest values of keys, in their order; undefined for each that is absent. Not one moment for all of them. */
  async getMany<T>(collection: CollectionOf<T>, keys: readonly string[]): Promise<(Entity<T> | undefined)[]> {
    if (this.#closed) throw this.#closedError('get')
    this.#checkCollection(collection)
    return await this.#state.entities(collection, keys)
  }

  /**
   * How many live entities a collection has; not one moment for all of them.
   *
   * @throws HeadwaterError STATE_REQUIRED
   */
  async count(collection: AnyCollection): Promise<number> {
    if (this.#closed) throw this.#closedError('count')
    this.#checkCollection(collection)
    return await this.#state.count(collection)
  }

  /**
   * Every live entity of a collection, in no order, each once. Not one moment: each is as it was when it was read. Whatever
   * changed meanwhile stands in the log behind the `end` of each partition that was asked for before.
   *
   * @throws HeadwaterError STATE_REQUIRED
   */
  async *entities<T>(
    collection: CollectionOf<T>,
    { signal }: Pick<ReadOptions, 'signal'> = {},
  ): AsyncGenerator<Entity<T>> {
    if (this.#closed) throw this.#closedError('entities')
    this.#checkCollection(collection)
    checkValuesKept(collection)
    const { connection, keys, metadata, deadlineMs } = this.#parts
    const { namespace } = this
    const options = { namespace, connection, keys, buckets: metadata.buckets, deadlineMs, signal }
    for (let partition = 0; partition < this.partitions; partition++) {
      for await (const page of readSnapshot(options, collection, partition)) {
        for (const { key, value, version, position } of page)
          yield { key, value: value as T, version, position }
      }
    }
  }

  /** The changes of one partition, in order, after `from` and up to the present end of the log. */
  read(
    partition: number,
    from: 'beginning' | Position = 'beginning',
    options?: ReadOptions,
  ): AsyncIterable<Change> {
    if (this.#closed) throw this.#closedError('read')
    return readPartition(this.#rangeOf(partition), this.namespace, from, options)
  }

  /**
   * The changes of one key, in order, as far as the log still has them. There is no index by key: this reads the whole
   * partition, as fast as `read` does.
   */
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
    this.#checkCollection(collection)
    const { partition } = locate(this.#router, collection, key)
    return historyOf(this.read(partition, 'beginning', options), collection, key)
  }

  /**
   * The value that a key had at a version, time or position; undefined where it was absent. The log is read backwards
   * from there to the key's last change (of a decider: its first event), which may be far.
   *
   * @throws HeadwaterError HISTORY_TRIMMED where retention removed it, VERSION_INVALID where there is no such version
   */
  async getAt<T>(
    collection: CollectionOf<T>,
    key: string,
    moment: Moment,
    { signal }: Pick<ReadOptions, 'signal'> = {},
  ): Promise<Entity<T> | undefined> {
    if (this.#closed) throw this.#closedError('getAt')
    this.#checkCollection(collection)
    const { partition } = locate(this.#router, collection, key)
    const past = pastOf({ ...this.#rangeOf(partition), signal }, this.namespace)
    return await valueAt(past, collection, key, moment)
  }

  /**
   * After which position a partition is to be read to get what was stored later than this time, in ms since 1970 by the
   * clock of the Redis server. A binary search over the times of the batches.
   */
  async positionAt(partition: number, time: number | Date): Promise<Position | 'beginning'> {
    if (this.#closed) throw this.#closedError('positionAt')
    const { stampAt } = pastOf(this.#rangeOf(partition), this.namespace)
    const stamp = await stampAt(checkedTime(time))
    return stamp ? formatPosition(partition, stamp) : 'beginning'
  }

  /** The position of the newest change of a partition: to read after it is to read what comes from now on. */
  async end(partition: number): Promise<Position> {
    if (this.#closed) throw this.#closedError('end')
    const { connection, deadlineMs } = this.#parts
    const header = await readHeader(connection, this.#keysOf(partition), deadlineMs)
    if (!header) throw missingHeader(this.namespace, partition)
    return formatPosition(partition, header)
  }

  /**
   * Waits until a group is done with the change at this position, and says what became of it. Works from any process.
   *
   * @throws HeadwaterError WAIT_TIMEOUT with the group's lag, GROUP_UNKNOWN
   */
  whenApplied(position: Position, options: WhenAppliedOptions): Promise<AppliedAnswer>
  /**
   * Waits until nodes of the write quorum's weight hold what the site of this log has appended at this position, or something
   * that was written in the knowledge of it. Resolves with their names.
   *
   * @throws HeadwaterError WAIT_TIMEOUT with the nodes that do, OPTION_INVALID
   */
  whenApplied(position: Position, options: WhenAppliedAtNodesOptions): Promise<string[]>
  async whenApplied(
    position: Position,
    options: WhenAppliedOptions | WhenAppliedAtNodesOptions,
  ): Promise<AppliedAnswer | string[]> {
    if (this.#closed) throw this.#closedError('whenApplied')
    if (options && 'nodes' in options) {
      const { nodes, site, key, ...rest } = options
      return await whenHeld(nodes, { site, key, position }, rest)
    }
    checkGroupName(options?.group)
    return await this.#applied.wait(position, options)
  }

  /**
   * Changes of a collection as they are appended, each once and in order per key, also across lost connections. However many
   * feeds a program opens, they share one connection.
   *
   * @throws HeadwaterError STATE_REQUIRED for a snapshot of a collection without values, POSITION_INVALID; the loop
   * rejects with MUST_REFETCH where it cannot go on from its position
   */
  feed<T>(collection: CollectionOf<T>, options: FeedOptions<T> = {}): Feed<T> {
    if (this.#closed) throw this.#closedError('feed')
    this.#checkCollection(collection)
    return openFeed(this.#parts, this.#hub, collection, options)
  }

  /** As `feed`, of all collections together, also those that this program has no definition of; without a snapshot. */
  feedAll(options: FeedOptions = {}): Feed {
    if (this.#closed) throw this.#closedError('feedAll')
    return openFeed(this.#parts, this.#hub, undefined, options)
  }

  /**
   * Takes an origin over: the right to bring another system's data into these collections. Whoever had it before can
   * append nothing of it any more.
   *
   * @throws HeadwaterError OPTION_INVALID where another origin feeds one of the collections, STATE_REQUIRED
   */
  async origin(name: string, options: OriginOptions): Promise<Origin> {
    if (this.#closed) throw this.#closedError('origin')
    for (const collection of options.collections) this.#checkCollection(collection)
    return await Origin.take(this.#parts, this.#router, this.#appender, name, options)
  }

  /** Pauses and resumes groups, changes how fast they work, drains workers: at run time, from any process. */
  get steering(): Steering {
    if (this.#closed) throw this.#closedError('steering')
    return new Steering(this.#parts)
  }

  /** What a group has parked: to look at, feed back, edit, skip or drop. */
  parking(group: string): Parking {
    if (this.#closed) throw this.#closedError('parking')
    checkGroupName(group)
    return new Parking(this, this.#parts, group)
  }

  /** How far every registered group is, partition by partition. */
  async groups(): Promise<PartitionStatus[]> {
    if (this.#closed) throw this.#closedError('groups')
    const { connection, keys, deadlineMs } = this.#parts
    const names = await groupNames(connection, keys, deadlineMs)
    return (await Promise.all(names.map((group) => groupStatus(connection, keys, group, deadlineMs)))).flat()
  }

  /** The collections that were ever connected to this namespace, by name; also those that this program has no definition of. */
  async collections(): Promise<StoredCollection[]> {
    if (this.#closed) throw this.#closedError('collections')
    const { connection, deadlineMs } = this.#parts
    return await storedCollections(connection, this.namespace, deadlineMs)
  }

  /** Waits for appends in flight, then closes the connections. Safe to call twice. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    await this.#appender.idle()
    this.#applied.close()
    this.#hub.close()
    this.#appender.close()
    this.#parts.connection.close()
  }

  /** Events of one append, which stand one after the other; none where retention has removed them. */
  async #eventsAt(first: Position, count: number): Promise<unknown[]> {
    const { partition, ...stamp } = parsePosition(first)
    const [batch] = await readRange(this.#rangeOf(partition), stamp, 1)
    const at = batch && batch.epoch === stamp.epoch ? stamp.sequence - batch.first : -1
    return at < 0 ? [] : batch!.changes.slice(at, at + count).map(({ value }) => value)
  }

  #rangeOf(partition: number): RangeOptions {
    const { connection, deadlineMs, archive: store, metadata } = this.#parts
    const { lineage } = metadata
    const context = this.#context
    const log = { namespace: this.namespace, lineage }
    const archive = store && new PartitionArchive({ store, log, partition, context })
    return { connection, keys: this.#keysOf(partition), partition, context, deadlineMs, archive }
  }

  #keysOf(partition: number): PartitionKeys {
    const keys = this.#parts.keys.partitions[partition]
    if (keys) return keys
    throw new HeadwaterError(
      'OPTION_INVALID',
      `Partition ${String(partition)} does not exist; this log has 0 to ${this.partitions - 1}.`,
    )
  }

  #checkCollection(collection: AnyCollection): void {
    checkKnown(this.#parts.collections, collection)
  }

  #closedError(what: string): HeadwaterError {
    return new HeadwaterError('CLOSED', `${what} was called after the log was closed.`)
  }
}
