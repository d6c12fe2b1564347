import type { BatchContext } from '../change/batch.ts'
import type { Change } from '../change/change.ts'
import { compareStamps, stampZero, type Stamp } from '../change/stamp.ts'
import type { CopyProgress } from '../copy/copy-progress.ts'
import { FirstCopy, type CopySources } from '../copy/first-copy.ts'
import { noteCopy } from '../copy/note-copy.ts'
import { serverIdentity } from '../copy/server-identity.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { commit } from '../group/commit.ts'
import { noteHand } from '../group/hand.ts'
import { raiseEpoch, type Lease, type LeaseRequest } from '../group/lease.ts'
import { readHeader, stampOf, type Header } from '../log/header.ts'
import { readRange } from '../log/range.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { wasDropped } from '../parking/drop.ts'
import { countDeaths } from '../parking/note-offer.ts'
import type { ParkingBounds } from '../parking/park.ts'
import type { Marker } from '../proof/marker.ts'
import type { Prover } from '../proof/prover.ts'
import { parkedField } from '../parking/parked-key.ts'
import { Redriver } from '../parking/redriver.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import type { Connection, RedisClient } from '../redis/connection.ts'
import { pause, persist } from '../redis/persist.ts'
import { hasLateCall } from '../sink/guarded-partition.ts'
import { reject, type Outcome } from '../sink/outcome.ts'
import type { Sink, SinkPartition, SinkPosition } from '../sink/sink.ts'
import { RateLimit } from '../steering/rate-limit.ts'
import { Aside } from './aside.ts'
import { Dispatcher, type Rejected, type Run } from './dispatcher.ts'
import { HeldBack } from './held-back.ts'
import { Isolation } from './isolation.ts'
import { endOf, Fenced, readFailure, Restart, ShutOut, type PartitionEnd } from './partition-end.ts'
import type { PartitionObserver } from './partition-observer.ts'
import type { Presentation } from './presentation.ts'
import { HistoryForked, PartitionReader } from './partition-reader.ts'
import { Signal } from './signal.ts'
import { SinkTrouble } from './sink-trouble.ts'
import { standingOf, survivingStamp, type LostHistory } from './standing.ts'
import { Suspects } from './suspects.ts'
import type { WorkerEvent } from './worker-event.ts'

export interface PartitionLoopOptions {
  readonly namespace: string
  readonly lineage: string
  readonly partition: number
  readonly request: LeaseRequest
  readonly lease: Lease
  /** `performance.now()` before the lease was asked for. */
  readonly acquiredAt: number
  readonly sink: Sink
  readonly presentation: Presentation
  readonly copySources: CopySources
  readonly observer: PartitionObserver
  readonly prover: Prover
  readonly context: BatchContext
  /** For commands that answer at once. */
  readonly connection: Connection
  readonly openConnection: (purpose: string) => Connection
  readonly coalesce: boolean
  readonly concurrency: number
  readonly steering: PartitionSteering
  /** Bounds of what is read ahead. */
  readonly prefetch: { readonly changes: number; readonly size: number }
  readonly retry: Backoff
  readonly parking: ParkingBounds
  /** So often a key may fail while the sink takes others. */
  readonly attemptsMax: number
  /** So many workers in a row may die before the change that kills them is parked. */
  readonly deathsMax: number
  readonly deadlineMs: number
  readonly onEvent: (event: WorkerEvent) => void
}

/** What somebody asked for at run time. */
export interface PartitionSteering {
  readonly paused: boolean
  /** Calls at the sink at once. */
  readonly concurrency: number
  /** Undefined without a limit. */
  readonly changesPerSecond: number | undefined
}

const blockMs = 2_000
const batchesAtOnceMax = 64
const idleMs = 500
const betweenReads: Backoff = { firstMs: 50, maxMs: 1_000 }

/** One partition of one group, from the lease that was granted to the lease that is given back. */
export class PartitionLoop {
  readonly #options: PartitionLoopOptions
  readonly #changed = new Signal()
  readonly #abort = new AbortController()
  /** As soon as the partition is to be given up; what is at the sink has until `#abort`. */
  readonly #leaving = new AbortController()
  readonly #blocking: Connection
  #sinkPartition: SinkPartition | undefined
  #dispatcher!: Dispatcher
  #reader: PartitionReader | undefined
  #aside!: Aside
  /** By field: which changes were given up, for what is delivered again. */
  #dropped: Readonly<Record<string, string>> = {}
  #anyDropped = false
  /** How often somebody asked for parked keys, as far as it is known, and as far as it was looked after. */
  #redrives = { asked: 0, done: -1 }
  readonly #heldBack = new HeldBack((runs) => {
    for (const run of runs) this.#dispatcher.resume(run)
    this.#changed.notify()
  })
  /** A parked key is on its way into the sink. */
  #stepping = false
  /** The sink is being looked at. */
  #looking = false
  #steering: PartitionSteering
  readonly #rate = new RateLimit()
  readonly #suspects: Suspects
  readonly #trouble: SinkTrouble
  readonly #isolation: Isolation
  #stopping = false
  #end: PartitionEnd | undefined
  /** How far the first copy is; undefined when there is none to make (any more). */
  #copy: CopyProgress | undefined
  #applying = 0
  #committed!: Stamp
  #saved!: Stamp
  /** The sink does not store where it stands, and there is no time left to ask it again. */
  #savesInVain = false
  #branches: ReadonlyMap<number, { readonly branch: string }> = new Map()
  /** The newest marker at which the sink was looked at, or was to be. */
  #marker: Marker | undefined
  /** Where the log ended when the first copy did: at markers before it the sink is ahead. */
  #copiedUpTo: Stamp | undefined
  #looksAgain = false
  /** By our own clock: after that another worker may have the partition, so nothing new is started. */
  #leaseEndsAt: number

  constructor(options: PartitionLoopOptions) {
    this.#options = options
    this.#suspects = new Suspects(options.attemptsMax)
    this.#trouble = new SinkTrouble(options.retry)
    this.#isolation = new Isolation(options.lease, options.deathsMax)
    this.#steering = { paused: false, concurrency: options.concurrency, changesPerSecond: undefined }
    this.#leaseEndsAt = options.acquiredAt + options.request.leaseMs
    this.#blocking = options.openConnection(`read:${options.request.group}:${options.partition}`)
  }

  /** Up to where everything is applied, superseded or parked; undefined before the partition is opened. */
  get checkpoint(): Stamp | undefined {
    return this.#committed
  }

  /** Whether the sink still gets its first copy. */
  get copying(): boolean {
    return this.#copy !== undefined
  }

  /** Runs until the partition is given up. Never rejects. */
  async run(): Promise<PartitionEnd> {
    try {
      await this.#open()
      this.steer(this.#options.steering)
      if (this.#copy && !(await this.#copyFirst(this.#copy))) return this.#end ?? { kind: 'stopped' }
      // Each to its own end: nothing of this partition may still run when the lease is given back.
      const ended = async (error: unknown): Promise<void> => {
        this.#finish(endOf(error))
        if (error instanceof HistoryForked) await this.#tellLost(error)
      }
      await Promise.all([
        this.#read().catch(ended),
        this.#apply().catch(ended),
        this.#redrive().catch(ended),
        this.#commitAndSave().catch(ended),
      ])
    } catch (error) {
      this.#finish(endOf(error))
    } finally {
      this.#blocking.close()
      await this.#sinkPartition?.close().catch(() => {})
    }
    return this.#end ?? { kind: 'stopped' }
  }

  /** Stops reading, lets what is at the sink finish until `budgetMs` is over, commits, and ends. */
  stop(budgetMs: number): void {
    if (this.#stopping) return
    this.#stopping = true
    this.#leaving.abort(new HeadwaterError('CLOSED', 'The partition is handed over.'))
    // Not by CLIENT UNBLOCK: Redis 7.0 aborts when the read waits for the end of a CLIENT PAUSE, as during a failover.
    this.#blocking.close()
    const timer = setTimeout(
      () => this.#abort.abort(new HeadwaterError('CLOSED', 'The worker stopped before the sink answered.')),
      budgetMs,
    )
    timer.unref()
    this.#abort.signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
    this.#changed.notify()
  }

  /** The lease is another's: nothing more may be written. */
  fence(reason: string): void {
    this.#finish({ kind: 'fenced', reason })
  }

  get #ending(): boolean {
    return this.#stopping || this.#end !== undefined
  }

  #finish(end: PartitionEnd): void {
    this.#end ??= end
    this.#leaving.abort(new HeadwaterError('CLOSED', 'The worker gave the partition up.'))
    if (end.kind !== 'stopped')
      this.#abort.abort(new HeadwaterError('CLOSED', 'The worker gave the partition up.'))
    this.#changed.notify()
    this.#blocking.close()
  }

  /** Works on as somebody asks for. */
  steer(steering: PartitionSteering): void {
    const { paused, concurrency, changesPerSecond } = this.#steering
    if (
      steering.paused === paused &&
      steering.concurrency === concurrency &&
      steering.changesPerSecond === changesPerSecond
    )
      return
    const { request, partition, observer, onEvent } = this.#options
    this.#steering = steering
    this.#rate.set(steering.changesPerSecond)
    observer.paused(steering.paused)
    onEvent({ kind: 'steered', group: request.group, partition, ...steering })
    this.#changed.notify()
  }

  /** Somebody has asked for parked keys, so often by now. */
  redrivesAsked(count: number): void {
    if (count === this.#redrives.asked) return
    this.#redrives.asked = count
    this.#changed.notify()
  }

  /**
   * Nothing was appended since the last marker, so what the log held there it still holds: where the sink stands there, it
   * is looked at again.
   */
  lookAgain(): void {
    this.#looksAgain = true
    this.#changed.notify()
  }

  /** The lease was renewed by a request sent then. */
  renewed(sentAt: number): void {
    const ran = performance.now() > this.#leaseEndsAt
    this.#leaseEndsAt = Math.max(this.#leaseEndsAt, sentAt + this.#options.request.leaseMs)
    if (ran) this.#changed.notify()
  }

  /** Opens the sink, and finds out from where to go on: from what both the log and the sink know to be done. */
  async #open(): Promise<void> {
    const { sink, lineage, request, partition, lease, connection, deadlineMs, namespace, onEvent } =
      this.#options
    const fence = { epoch: lease.epoch, token: lease.token, owner: lease.owner }
    const { signal } = this.#abort
    this.#sinkPartition = await sink
      .open({ lineage, group: request.group, partition, fence, signal })
      .catch((error: unknown) => {
        throw isHeadwaterError(error, 'SINK_FENCED') ? new ShutOut(error) : error
      })
    const header = await this.#header()
    const position = standingOf(header, this.#sinkPartition.position)
    if (position.ahead) await this.#overtake(position.ahead)
    const checkpoint = survivingStamp(header, lease.checkpoint)
    if (
      compareStamps(checkpoint, lease.checkpoint) !== 0 &&
      lease.checkpoint.sequence > checkpoint.sequence
    ) {
      const { epoch, sequence: to } = lease.checkpoint
      await this.#tellLost({ epoch, from: checkpoint.sequence + 1, to })
    }
    if (position.lost) await this.#tellLost(position.lost)
    this.#copy = lease.copy
    // Whatever the sink held before: behind the copy it stands where the group does.
    const isBehind = !this.#copy && position.stamp.sequence < checkpoint.sequence
    const start = isBehind ? position.stamp : checkpoint
    if (start.sequence < Math.min(checkpoint.sequence, lease.saved.sequence)) {
      onEvent({
        kind: 'sink-behind',
        group: request.group,
        partition,
        from: start.sequence + 1,
        to: checkpoint.sequence,
      })
    }
    const { deaths, upTo } = this.#isolation
    if (upTo > 0) {
      const from = start.sequence + 1
      onEvent({ kind: 'isolating', group: request.group, partition, deaths, from, to: upTo })
    }
    this.#branches = header.epochs
    this.#committed = checkpoint
    this.#saved = this.#copy ? checkpoint : position.stamp
    this.#dispatcher = new Dispatcher({
      collection: sink.collection.name,
      coalesce: this.#options.coalesce,
      start,
      barriers: sink.capabilities.snapshot ?? false,
    })
    this.#reader = new PartitionReader({
      namespace,
      connection,
      blocking: this.#blocking,
      keys: request.keys,
      partition,
      group: request.group,
      context: this.#options.context,
      start,
      settled: () => this.#committed,
      deadlineMs,
      signal: this.#abort.signal,
    })
    this.#marker = await this.#markerAt(start)
    if (lease.died) {
      const answer = await this.#persist('counting what workers died of', (client) =>
        countDeaths(client, request, lease.token, this.#options.deathsMax),
      )
      if (answer === 'fenced') throw new Fenced('another worker took the lease')
    }
    const [fields, dropped] = await this.#persist('reading the parked keys', (client) =>
      Promise.all([
        client.hkeys(request.keys.parkedKeys(request.group)),
        client.hgetall(request.keys.dropped(request.group)),
        client.hdel(request.keys.group(request.group), 'standstill'),
      ]),
    )
    this.#aside = new Aside(
      {
        ...this.#options,
        persist: (doing, command) => this.#persist(doing, command),
        isEnding: () => this.#ending,
        changed: this.#changed,
      },
      fields,
    )
    this.#dropped = dropped
    this.#anyDropped = Object.keys(dropped).some((field) => field !== '')
  }

  /** The marker that stands exactly here: the worker before us may have stopped behind it. */
  async #markerAt(stamp: Stamp): Promise<Marker | undefined> {
    const { connection, context, deadlineMs, partition, request } = this.#options
    if (stamp.sequence === 0) return undefined
    const options = { connection, keys: request.keys, partition, context, deadlineMs }
    const [batch] = await readRange(options, stamp, 1)
    return batch?.marker && compareStamps(batch.marker.stamp, stamp) === 0 ? batch.marker : undefined
  }

  async #header(): Promise<Header> {
    const { connection, request, deadlineMs, namespace, partition } = this.#options
    const header = await readHeader(connection, request.keys, deadlineMs)
    if (!header) throw missingHeader(namespace, partition)
    return header
  }

  /** The sink has seen what this log has lost. A later epoch makes new changes win over it. */
  async #overtake(ahead: LostHistory): Promise<never> {
    const { connection, deadlineMs, request } = this.#options
    await persist(connection, { doing: 'opening a new epoch', deadlineMs }, (client) =>
      raiseEpoch(client, request.keys, ahead.epoch),
    )
    await this.#tellLost(ahead)
    // The fence carries the epoch it was granted in: a new one is needed to write behind the new history.
    throw new Restart('the log was behind the sink')
  }

  /** Brings the state to the sink, and then lets it stand at the position that was noted before. */
  async #copyFirst(progress: CopyProgress): Promise<boolean> {
    const { copySources, sink, partition, retry, request, lease, connection, deadlineMs, onEvent } =
      this.#options
    const { group } = request
    const note = async (noted: CopyProgress | undefined): Promise<void> => {
      const sentAt = performance.now()
      const answer = await this.#persist('noting the progress of the first copy', (client) =>
        noteCopy(client, request, lease.token, noted),
      )
      if (answer === 'fenced') throw new Fenced('another worker took the lease')
      this.renewed(sentAt)
      this.#copy = noted
      this.#options.observer.checkpointed()
    }
    onEvent({ kind: 'copying', group, partition, copied: progress.copied })
    const copy = new FirstCopy(
      {
        ...copySources,
        collection: sink.collection,
        partition,
        retry,
        signal: this.#abort.signal,
        port: {
          mayGoOn: () => this.#mayStart(),
          server: () => serverIdentity(connection, request.keys, deadlineMs),
          apply: (changes) => this.#applyCopied(changes),
          isParked: (key) => this.#aside.has(parkedField(sink.collection.name, key)),
          park: async (change, error) => {
            await this.#aside.setAside([change], error, false)
          },
          note,
        },
      },
      progress,
    )
    if (!(await copy.run())) return false
    const { newest, copied } = copy.progress
    const header = await this.#header()
    this.#copiedUpTo = stampOf(header, header.sequence)
    const { ahead, lost } = standingOf(header, { ...newest, branch: '' })
    if (ahead) await this.#overtake(ahead)
    if (lost) await this.#tellLost(lost)
    await this.#sinkPartition!.advance(this.#position(this.#committed))
    await note(undefined)
    onEvent({ kind: 'copied', group, partition, copied })
    return true
  }

  /** Waits until something new may be started; false when the partition is given up. */
  async #mayStart(): Promise<boolean> {
    while (!this.#ending && performance.now() > this.#leaseEndsAt) await this.#changed.wait()
    return !this.#ending
  }

  /** What is copied says nothing of the position: only the whole copy does. */
  async #applyCopied(changes: readonly Change[]): Promise<readonly Outcome[]> {
    const signal = this.#abort.signal
    const outcomes = await this.#options.observer.apply(changes, 1, () =>
      this.#sinkPartition!.apply(changes, { ...stampZero, branch: '' }, { signal }),
    )
    const [outcome] = outcomes
    if (outcome?.kind === 'retry' && hasLateCall(this.#sinkPartition!)) throw outcome.error
    if (outcomes.every(({ kind }) => kind === 'retry')) this.#restSink(outcome!)
    else this.#trouble.worked()
    return outcomes
  }

  async #read(): Promise<void> {
    const { prefetch, request, partition, onEvent, sink } = this.#options
    const reader = this.#reader!
    let failures = 0
    // Until some were seen, batches count as large: a backlog must not arrive in one piece.
    let changesPerBatch = 1_000
    let sizePerBatch = 262_144
    while (!this.#ending) {
      const room = prefetch.changes - this.#dispatcher.waiting
      if (room <= 0 || this.#dispatcher.size >= prefetch.size) {
        await this.#changed.wait()
        continue
      }
      try {
        const sizeRoom = prefetch.size - this.#dispatcher.size
        const fitting = Math.floor(Math.min(room / changesPerBatch, sizeRoom / sizePerBatch))
        const { batches, known, strays, groupRestored } = await reader.next(
          Math.max(1, Math.min(batchesAtOnceMax, fitting)),
          blockMs,
        )
        failures = 0
        for (const { id, unreadable } of strays)
          if (!(await this.#aside.setEntryAside(id, unreadable))) return
        if (groupRestored) onEvent({ kind: 'group-restored', group: request.group, partition })
        let changes = 0
        let size = 0
        for (const { batch, skip } of batches) {
          if (!this.#branches.has(batch.epoch)) this.#branches = (await this.#header()).epochs
          this.#dispatcher.push(batch, skip)
          if (batch.marker && !sink.capabilities.snapshot) this.#options.prover.refuse(batch.marker)
          changes += batch.changes.length
          size += batch.size
        }
        if (batches.length > 0) {
          changesPerBatch = Math.max(1, changes / batches.length)
          sizePerBatch = Math.max(1, size / batches.length)
        }
        for (const id of known) this.#dispatcher.known(id)
        if (batches.length > 0 || known.length > 0) this.#changed.notify()
      } catch (error) {
        if (this.#ending) return
        const failed = readFailure(error)
        if (!failed) throw error
        failures++
        if (failures === 1 || failures % 10 === 0) {
          onEvent({ kind: 'retrying', group: request.group, partition, error: failed, attempt: failures })
        }
        await pause(backoffMs(betweenReads, failures), this.#abort.signal).catch(() => {})
      }
    }
  }

  async #apply(): Promise<void> {
    const { sink } = this.#options
    const { changes: changesMax, bytes: sizeMax } = sink.capabilities.batch
    while (!this.#end) {
      if (this.#stopping) {
        if (this.#applying === 0) return
        await this.#changed.wait()
        continue
      }
      const waitMs = this.#aside.full ? undefined : this.#untilTurnMs()
      if (waitMs !== 0) {
        await this.#changed.wait(waitMs)
        continue
      }
      // From here to the wait at the end nothing is awaited: what notifies meanwhile, such as a stop, would be missed.
      if (this.#dispatcher.barrier || this.#looksAgain) {
        await this.#lookAtMarker()
        continue
      }
      const countMax = this.#isolating ? 1 : Math.min(changesMax, this.#rate.available, this.#trouble.callMax)
      const callsMax = this.#isolating ? 1 : this.#steering.concurrency
      const goesAlone = this.#suspects.none ? undefined : (key: string) => this.#suspects.has(key)
      const runs = this.#applying < callsMax ? this.#dispatcher.take(countMax, sizeMax, goesAlone) : []
      this.#rate.spend(runs.length)
      if (runs.length === 0) {
        await this.#changed.wait()
        continue
      }
      this.#applying++
      void this.#applyRuns(runs)
        .catch((error: unknown) => this.#finish(endOf(error)))
        .finally(() => {
          this.#applying--
          this.#changed.notify()
        })
    }
    while (this.#applying > 0) await this.#changed.wait()
  }

  /** Lets the sink be looked at, where everything up to a marker is done. */
  async #lookAtMarker(): Promise<void> {
    const marker = this.#dispatcher.barrier
    if (marker) {
      this.#marker = marker
      await this.#look(marker)
      this.#dispatcher.release()
      this.#changed.notify()
      return
    }
    this.#looksAgain = false
    const last = this.#marker
    const standsThere =
      last !== undefined &&
      this.#dispatcher.waiting === 0 &&
      compareStamps(this.#dispatcher.checkpoint, last.stamp) === 0
    if (standsThere) await this.#look(last)
  }

  /** Not while a parked key is on its way into the sink: it would count as neither parked nor there. */
  async #look(marker: Marker): Promise<void> {
    if (this.#copiedUpTo && compareStamps(marker.stamp, this.#copiedUpTo) < 0) return
    this.#looking = true
    try {
      while (this.#stepping) await this.#changed.wait()
      await this.#options.prover.look(marker, this.#sinkPartition!)
    } finally {
      this.#looking = false
      this.#changed.notify()
    }
  }

  async #applyRuns(runs: readonly Run[]): Promise<void> {
    const parkedAlready: Run[] = []
    // Names of fields are only made where one may be found.
    const all = this.#aside.none && !this.#anyDropped && !this.#isolation.hasCulprit
    const offered: Run[] = all ? [...runs] : []
    for (const run of all ? [] : runs) {
      const field = parkedField(run.change.collection, run.change.key)
      if (this.#isolation.isCulprit(run.change.stamp)) {
        await this.#parkCulprit(run)
        continue
      }
      if (wasDropped(this.#dropped[field], run.change.stamp)) this.#dispatcher.settle(run)
      else (this.#aside.has(field) ? parkedAlready : offered).push(run)
    }
    for (const run of parkedAlready) {
      const field = parkedField(run.change.collection, run.change.key)
      if (this.#heldBack.hold(field, run)) continue
      const behind = new HeadwaterError('SINK_REJECTED', 'An earlier change of this key is parked.')
      await this.#park(this.#dispatcher.divert(run), behind, { run })
    }
    if (offered.length === 0) return
    const done = this.#dispatcher.checkpoint
    const isolated = this.#isolating
    if (isolated) await this.#noteHand(offered[0]!.change.stamp)
    const outcomes = await this.#offer(offered, done)
    if (isolated) await this.#noteHand(undefined)
    let [refused, taken] = [0, 0]
    for (const { kind } of outcomes) {
      if (kind === 'retry') refused++
      if (kind === 'applied' || kind === 'stale') taken++
    }
    const failed = refused === outcomes.length
    const failedByItself = failed && offered.length === 1 && this.#suspects.isOwn(offered[0]!.change.key)
    if (!failed) {
      this.#trouble.worked()
      this.#suspects.worked()
    } else if (!failedByItself) {
      this.#restSink(outcomes[0]!)
      this.#trouble.halve(offered.length)
    }
    let superseded = 0
    // A sink that has rejected a whole call has stored nothing with it.
    if (refused === 0 && taken > 0 && compareStamps(done, this.#saved) > 0) this.#saved = done
    for (const [index, run] of offered.entries()) {
      const outcome = outcomes[index]!
      switch (outcome.kind) {
        case 'applied':
        case 'stale':
          this.#dispatcher.settle(run)
          if (!this.#suspects.none) this.#suspects.taken(run.change.key)
          superseded += run.count - 1
          break
        case 'retry':
          if ((!failed || failedByItself) && this.#suspects.failed(run.change.key)) {
            const rejected = this.#dispatcher.reject(run)
            if (rejected) await this.#park(rejected, this.#exhausted(outcome.error))
          } else {
            this.#postpone(run, failed && !failedByItself)
          }
          break
        case 'gap':
        case 'reject': {
          const rejected = this.#dispatcher.reject(run)
          if (rejected) await this.#park(rejected, outcome.error)
        }
      }
    }
    this.#options.observer.superseded(superseded)
  }

  #exhausted({ message, code }: HeadwaterError): HeadwaterError {
    const reason = message.replace(` [${code}]`, '')
    const error = `The sink took others, but not this key in ${this.#options.attemptsMax} attempts: ${reason}`
    return new HeadwaterError('ATTEMPTS_EXHAUSTED', error)
  }

  /** Whether changes go one at a time, because workers died one after the other where this one begins. */
  get #isolating(): boolean {
    return this.#isolation.follows(this.#dispatcher.checkpoint)
  }

  async #noteHand(stamp: Stamp | undefined): Promise<void> {
    const { request, lease } = this.#options
    const hand = stamp && { stamp, deaths: this.#isolation.deaths }
    const answer = await this.#persist('noting what is in hand', (client) =>
      noteHand(client, request, lease.token, hand),
    )
    if (answer === 'fenced') throw new Fenced('another worker took the lease')
  }

  /** The last of the workers that died had this change alone in hand. */
  async #parkCulprit(run: Run): Promise<void> {
    const rejected = this.#dispatcher.reject(run)
    // It stood for older ones too: these go one by one first.
    if (rejected) await this.#park(rejected, this.#isolation.convict())
  }

  /** Shows the changes to the sink; what cannot be shown counts as rejected. */
  async #offer(runs: readonly Run[], done: Stamp): Promise<readonly Outcome[]> {
    const { presentation } = this.#options
    const stored = runs.map(({ change }) => change)
    if (presentation.asTheyAre(stored)) return await this.#hand(stored, runs, done)
    const presented = await presentation.present(stored)
    const changes = presented.flatMap((of) => ('change' in of ? [of.change] : []))
    if (changes.length === 0) return presented.map((of) => reject((of as { error: HeadwaterError }).error))
    const outcomes = await this.#hand(changes, runs, done)
    let at = 0
    return presented.map((of) => ('error' in of ? reject(of.error) : outcomes[at++]!))
  }

  async #hand(changes: readonly Change[], runs: readonly Run[], done: Stamp): Promise<readonly Outcome[]> {
    const attempt = 1 + runs.reduce((most, { attempts }) => Math.max(most, attempts), 0)
    const outcomes = await this.#options.observer.apply(changes, attempt, () =>
      this.#sinkPartition!.apply(changes, this.#position(done), { signal: this.#abort.signal }),
    )
    // A call that may never settle holds the partition up: it is opened anew, and the call is fenced.
    const [outcome] = outcomes
    if (outcome?.kind === 'retry' && hasLateCall(this.#sinkPartition!)) throw outcome.error
    return outcomes
  }

  /** The whole call was refused: the sink is in trouble, not a key. */
  #restSink(outcome: Outcome): void {
    const { request, partition, onEvent } = this.#options
    this.#trouble.refused()
    const attempt = this.#trouble.failedCalls
    if (outcome.kind !== 'retry' || this.#ending) return
    if (attempt === 1 || attempt % 10 === 0) {
      onEvent({ kind: 'retrying', group: request.group, partition, error: outcome.error, attempt })
    }
  }

  #postpone(run: Run, withSink: boolean): void {
    this.#dispatcher.postpone(run)
    if (withSink) return this.#dispatcher.resume(run)
    pause(backoffMs(this.#options.retry, run.attempts + 1), this.#abort.signal).then(
      () => {
        this.#dispatcher.resume(run)
        this.#changed.notify()
      },
      () => {}, // The partition is given up: nothing of it is offered again.
    )
  }

  /** @param behind the run that goes behind what is parked of its key already */
  async #park(rejected: Rejected, error: HeadwaterError, behind?: { readonly run: Run }): Promise<void> {
    const answer = await this.#aside.setAside(rejected.changes, error, behind !== undefined)
    if (answer === 'aside') this.#dispatcher.parked(rejected)
    // Fed back or given up since: what waits goes to the sink, as far as it is not set aside already.
    if (answer === 'absent') this.#dispatcher.resume(behind!.run)
  }

  /** Feeds back what somebody asks for, beside the changes that come from the log. */
  async #redrive(): Promise<void> {
    const { request, lease, partition, sink, observer, onEvent } = this.#options
    const { group } = request
    const redriver = new Redriver({
      ...this.#options,
      token: lease.token,
      collection: sink.collection.name,
      // Also where a group wants to see each change: a newer value is how a bad one is put right.
      coalesce: sink.takes !== 'events' && sink.collection.state !== 'none',
      limit: sink.capabilities.batch,
      signal: this.#leaving.signal,
      step: async (work) => {
        do await this.#turn()
        while (this.#looking)
        this.#stepping = true
        try {
          await work()
        } finally {
          this.#stepping = false
          this.#changed.notify()
        }
      },
      offer: async (runs) => {
        this.#rate.spend(runs.length)
        const outcomes = await this.#offer(runs, this.#dispatcher.checkpoint)
        if (outcomes.every(({ kind }) => kind === 'retry')) this.#restSink(outcomes[0]!)
        return outcomes
      },
      feeding: (fields) => this.#heldBack.begin(fields),
      freed: (field, key, changes) => {
        this.#aside.delete(field)
        this.#heldBack.release()
        observer.redriven()
        onEvent({ kind: 'redriven', group, partition, key, changes })
        this.#changed.notify()
      },
      refused: (field, key, error) => {
        this.#heldBack.end(field)
        observer.redriven()
        onEvent({ kind: 'redrive-refused', group, partition, key, error })
      },
      superseded: (count) => observer.superseded(count),
      fenced: () => new Fenced('another worker took the lease'),
    })
    while (!this.#ending) {
      const { asked } = this.#redrives
      if (this.#redrives.done === asked) {
        await this.#changed.wait()
        continue
      }
      try {
        await redriver.run()
      } catch (error) {
        if (this.#ending) return
        throw error
      } finally {
        this.#heldBack.endAll()
      }
      this.#redrives.done = asked
    }
  }

  /** In how many ms something may be offered to the sink; undefined: as soon as something changes. */
  #untilTurnMs(): number | undefined {
    const now = performance.now()
    if (this.#steering.paused || now > this.#leaseEndsAt) return undefined
    return Math.max(0, this.#trouble.restMs(now), this.#rate.waitMs)
  }

  /** Waits until something may be offered to the sink. */
  async #turn(): Promise<void> {
    for (;;) {
      this.#leaving.signal.throwIfAborted()
      const waitMs = this.#looking ? undefined : this.#untilTurnMs()
      if (waitMs === 0) return
      await this.#changed.wait(waitMs)
    }
  }

  /** Moves the checkpoint behind what is done, one commit at a time; when nothing is left to do, the sink's own position too. */
  async #commitAndSave(): Promise<void> {
    for (;;) {
      const drained = this.#stopping && this.#applying === 0
      if (this.#end && this.#end.kind !== 'stopped') return
      if (compareStamps(this.#dispatcher.checkpoint, this.#committed) > 0) {
        await this.#commit()
        continue
      }
      const idle = this.#dispatcher.waiting === 0 || drained
      if (idle && !this.#savesInVain && compareStamps(this.#saved, this.#committed) < 0) {
        if (!drained) {
          const before = this.#committed
          await this.#changed.wait(idleMs)
          if (
            this.#committed !== before ||
            compareStamps(this.#dispatcher.checkpoint, before) > 0 ||
            this.#ending
          )
            continue
        }
        await this.#save()
        continue
      }
      const leftovers = this.#dispatcher.takeFinished()
      if (leftovers.length > 0) {
        await this.#send(leftovers)
        continue
      }
      if (drained) return
      await this.#changed.wait()
    }
  }

  async #commit(): Promise<void> {
    const checkpoint = this.#dispatcher.checkpoint
    await this.#send(this.#dispatcher.takeFinished(), checkpoint)
    this.#committed = checkpoint
    this.#options.observer.checkpointed()
  }

  async #send(entries: readonly string[], checkpoint: Stamp = this.#committed): Promise<void> {
    const { request, lease } = this.#options
    const sentAt = performance.now()
    const answer = await this.#persist('moving the checkpoint', (client) =>
      commit(client, request, lease.token, { checkpoint, saved: this.#saved, entries }),
    )
    if (answer === 'fenced') throw new Fenced('another worker took the lease')
    this.renewed(sentAt)
  }

  /** Lets the sink store where it stands. That it fails now is no reason to stop: the next change stores it too. */
  async #save(): Promise<void> {
    const saved = this.#committed
    try {
      await this.#sinkPartition!.advance(this.#position(saved))
    } catch (error) {
      if (isHeadwaterError(error, 'SINK_FENCED')) throw error
      this.#savesInVain = this.#ending
      if (!this.#ending) await this.#changed.wait(backoffMs(this.#options.retry, 5))
      return
    }
    this.#saved = saved
    await this.#send([])
  }

  #position({ epoch, sequence }: Stamp): SinkPosition {
    return { epoch, sequence, branch: this.#branches.get(epoch)?.branch ?? '' }
  }

  #persist<T>(doing: string, command: (client: RedisClient) => Promise<T>): Promise<T> {
    const { connection, request } = this.#options
    // Within a lease's time: after that, somebody else has the partition anyway.
    return persist(connection, { doing, deadlineMs: request.leaseMs }, command)
  }

  /** Tells of lost history once, however many loops find it: what was told is kept beside the group. */
  async #tellLost({ epoch, from, to }: LostHistory): Promise<void> {
    const { request, partition, connection, onEvent } = this.#options
    const { group } = request
    const key = request.keys.group(group)
    const what = `${from}-${to} of epoch ${epoch}`
    const told = await this.#persist('reading what was lost', (client) => client.hget(key, 'lost'))
    if (told === what) return
    onEvent({ kind: 'history-lost', group, partition, epoch, from, to })
    await connection
      .attempt((client) => client.hset(key, 'lost', what), 1_000)
      .catch(() => {
        // Told as an event at least.
      })
  }
}
