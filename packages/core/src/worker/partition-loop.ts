import type { BatchContext } from '../change/batch.ts'
import { compareStamps, type Stamp } from '../change/stamp.ts'
import type { CopyProgress } from '../copy/copy-progress.ts'
import { FirstCopy, type CopySources } from '../copy/first-copy.ts'
import { noteCopy } from '../copy/note-copy.ts'
import { serverIdentity } from '../copy/server-identity.ts'
import { isHeadwaterError } from '../errors/headwater-error.ts'
import { raiseEpoch, type Lease, type LeaseRequest } from '../group/lease.ts'
import { readHeader, stampOf, type Header } from '../log/header.ts'
import { readRange } from '../log/range.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { countDeaths } from '../parking/note-offer.ts'
import type { ParkingBounds } from '../parking/park.ts'
import type { Marker } from '../proof/marker.ts'
import type { Prover } from '../proof/prover.ts'
import { parkedField } from '../parking/parked-key.ts'
import type { Backoff } from '../redis/backoff.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import type { Outcome } from '../sink/outcome.ts'
import type { Sink, SinkPartition } from '../sink/sink.ts'
import { ApplyLoop } from './apply-loop.ts'
import { Aside } from './aside.ts'
import { Branches } from './branches.ts'
import { Checkpointer } from './checkpointer.ts'
import { Dispatcher, type Run } from './dispatcher.ts'
import { HeldBack } from './held-back.ts'
import { Isolation } from './isolation.ts'
import { MarkerLooks } from './marker-looks.ts'
import { endOf, Fenced, Restart, ShutOut, type PartitionEnd } from './partition-end.ts'
import { PartitionLife } from './partition-life.ts'
import type { PartitionObserver } from './partition-observer.ts'
import { HistoryForked, PartitionReader } from './partition-reader.ts'
import { startOf, type PartitionStart } from './partition-start.ts'
import type { Presentation } from './presentation.ts'
import { readAhead } from './read-ahead.ts'
import { RedriveLoop } from './redrive-loop.ts'
import { SinkCalls } from './sink-calls.ts'
import { SinkTrouble } from './sink-trouble.ts'
import { standingOf, type LostHistory } from './standing.ts'
import { tellLost } from './tell-lost.ts'
import { Turns, type PartitionSteering } from './turns.ts'
import { withinLease, type WithinLease } from './within-lease.ts'
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

/** What works on a partition once it is opened. */
interface OpenedPartition {
  readonly sinkPartition: SinkPartition
  readonly calls: SinkCalls
  readonly aside: Aside
  readonly checkpointer: Checkpointer
  /** The loops, each to its own end. */
  readonly loops: readonly (() => Promise<void>)[]
}

/** One partition of one group, from the lease that was granted to the lease that is given back. */
export class PartitionLoop {
  readonly #options: PartitionLoopOptions
  readonly #life: PartitionLife
  readonly #persist: WithinLease
  readonly #trouble: SinkTrouble
  readonly #turns: Turns
  readonly #looks: MarkerLooks
  readonly #redrives: RedriveLoop
  readonly #isolation: Isolation
  readonly #branches = new Branches()
  readonly #blocking: Connection
  #sinkPartition: SinkPartition | undefined
  #checkpointer: Checkpointer | undefined
  /** How far the first copy is; undefined when there is none to make (any more). */
  #copy: CopyProgress | undefined

  constructor(options: PartitionLoopOptions) {
    const { request, lease, partition, openConnection, prover, concurrency } = options
    const life = new PartitionLife(request.leaseMs, options.acquiredAt)
    this.#options = options
    this.#life = life
    this.#persist = withinLease(options.connection, request.leaseMs)
    this.#trouble = new SinkTrouble(options.retry)
    this.#turns = new Turns(life, this.#trouble, { paused: false, concurrency, changesPerSecond: undefined })
    this.#looks = new MarkerLooks(prover, life.changed)
    this.#redrives = new RedriveLoop({ ...options, life })
    this.#isolation = new Isolation(lease, options.deathsMax)
    this.#blocking = openConnection(`read:${request.group}:${partition}`)
    // Not by CLIENT UNBLOCK: Redis 7.0 aborts when the read waits for the end of a CLIENT PAUSE, as during a failover.
    life.leaving.addEventListener('abort', () => this.#blocking.close(), { once: true })
  }

  /** Up to where everything is applied, superseded or parked; undefined before the partition is opened. */
  get checkpoint(): Stamp | undefined {
    return this.#checkpointer?.committed
  }

  /** Whether the sink still gets its first copy. */
  get copying(): boolean {
    return this.#copy !== undefined
  }

  /** Runs until the partition is given up. Never rejects. */
  async run(): Promise<PartitionEnd> {
    const life = this.#life
    try {
      const opened = await this.#open()
      this.steer(this.#options.steering)
      if (!this.#copy || (await this.#copyFirst(opened, this.#copy))) {
        // Each to its own end: nothing of this partition may still run when the lease is given back.
        await Promise.all(
          opened.loops.map((loop) =>
            loop().catch(async (error: unknown) => {
              life.breakOff(endOf(error))
              if (error instanceof HistoryForked) await this.#tellLost(error)
            }),
          ),
        )
      }
    } catch (error) {
      life.breakOff(endOf(error))
    } finally {
      this.#blocking.close()
      await this.#sinkPartition?.close().catch(() => {})
    }
    return life.brokenOff ?? { kind: 'stopped' }
  }

  /** Stops reading, lets what is at the sink finish until `budgetMs` is over, commits, and ends. */
  stop(budgetMs: number): void {
    this.#life.stop(budgetMs)
  }

  /** The lease is another's: nothing more may be written. */
  fence(reason: string): void {
    this.#life.breakOff({ kind: 'fenced', reason })
  }

  /** The lease was renewed by a request sent then. */
  renewed(sentAt: number): void {
    this.#life.renewed(sentAt)
  }

  /** Somebody has asked for parked keys, so often by now. */
  redrivesAsked(count: number): void {
    this.#redrives.asked(count)
  }

  /** Nothing was appended since the last marker: where the sink stands there, it is looked at again. */
  lookAgain(): void {
    this.#looks.lookAgain()
  }

  /** Works on as somebody asks for. */
  steer(steering: PartitionSteering): void {
    if (!this.#turns.steer(steering)) return
    const { request, partition, observer, onEvent } = this.#options
    observer.paused(steering.paused)
    onEvent({ kind: 'steered', group: request.group, partition, ...steering })
  }

  /** Opens the sink, and finds out from where to go on: from what both the log and the sink know to be done. */
  async #open(): Promise<OpenedPartition> {
    const { sink, lineage, request, partition, lease, onEvent } = this.#options
    const fence = { epoch: lease.epoch, token: lease.token, owner: lease.owner }
    const { signal } = this.#life
    const sinkPartition = await sink
      .open({ lineage, group: request.group, partition, fence, signal })
      .catch((error: unknown) => {
        throw isHeadwaterError(error, 'SINK_FENCED') ? new ShutOut(error) : error
      })
    this.#sinkPartition = sinkPartition
    const header = await this.#header()
    const start = startOf(header, lease, sinkPartition.position)
    if (start.ahead) await this.#overtake(start.ahead)
    for (const lost of start.lost) await this.#tellLost(lost)
    this.#branches.learn(header)
    this.#copy = lease.copy
    const from = start.readAfter.sequence + 1
    if (start.isSinkBehind) {
      const to = start.checkpoint.sequence
      onEvent({ kind: 'sink-behind', group: request.group, partition, from, to })
    }
    const { deaths, upTo } = this.#isolation
    if (upTo > 0) onEvent({ kind: 'isolating', group: request.group, partition, deaths, from, to: upTo })
    this.#looks.begin(await this.#markerAt(start.readAfter))
    if (lease.died) {
      const answer = await this.#persist('counting what workers died of', (client) =>
        countDeaths(client, request, lease.token, this.#options.deathsMax),
      )
      if (answer === 'fenced') throw new Fenced()
    }
    const [parked, dropped] = await this.#persist('reading the parked keys', (client) =>
      Promise.all([
        client.hkeys(request.keys.parkedKeys(request.group)),
        client.hgetall(request.keys.dropped(request.group)),
        client.hdel(request.keys.group(request.group), 'standstill'),
      ]),
    )
    return this.#assemble(start, sinkPartition, parked, dropped)
  }

  /** Puts together what works on the partition. */
  #assemble(
    { readAfter, checkpoint, saved }: PartitionStart,
    sinkPartition: SinkPartition,
    parked: readonly string[],
    dropped: Readonly<Record<string, string>>,
  ): OpenedPartition {
    const { sink, request, coalesce } = this.#options
    const { group, keys } = request
    const life = this.#life
    const dispatcher = new Dispatcher({
      collection: sink.collection.name,
      coalesce,
      start: readAfter,
      barriers: sink.capabilities.snapshot ?? false,
    })
    const heldBack = new HeldBack((runs) => {
      for (const run of runs) dispatcher.resume(run)
      life.changed.notify()
    })
    const shared = {
      ...this.#options,
      group,
      life,
      trouble: this.#trouble,
      turns: this.#turns,
      looks: this.#looks,
      isolation: this.#isolation,
      branches: this.#branches,
      persist: this.#persist,
      limit: sink.capabilities.batch,
      sinkPartition,
      dispatcher,
      dropped,
      heldBack,
    }
    const aside = new Aside(shared, parked)
    const calls = new SinkCalls(shared)
    const checkpointer = new Checkpointer(
      {
        ...shared,
        isSinkIdle: () => applying.idle,
        advance: (stamp) => sinkPartition.advance(this.#branches.position(stamp)),
      },
      checkpoint,
      saved,
    )
    const applying = new ApplyLoop({
      ...shared,
      aside,
      calls,
      look: () => this.#looks.look(dispatcher, sinkPartition),
      stored: (stamp) => checkpointer.stored(stamp),
    })
    const reader = new PartitionReader({
      ...shared,
      blocking: this.#blocking,
      keys,
      start: readAfter,
      settled: () => checkpointer.committed,
      signal: life.signal,
    })
    const offer = async (runs: readonly Run[]): Promise<readonly Outcome[]> => {
      this.#turns.spend(runs.length)
      const outcomes = await calls.offer(runs, dispatcher.checkpoint)
      if (outcomes.every(({ kind }) => kind === 'retry')) calls.rest(outcomes[0]!)
      return outcomes
    }
    this.#checkpointer = checkpointer
    return {
      sinkPartition,
      calls,
      aside,
      checkpointer,
      loops: [
        () => readAhead({ ...shared, reader, aside, readHeader: () => this.#header() }),
        () => applying.run(),
        () =>
          this.#redrives.run({ aside, heldBack, offer, step: (work) => this.#looks.step(this.#turns, work) }),
        () => checkpointer.run(),
      ],
    }
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

  #tellLost(lost: LostHistory): Promise<void> {
    return tellLost({ ...this.#options, persist: this.#persist }, lost)
  }

  /** Brings the state to the sink, and then lets it stand at the position that was noted before. */
  async #copyFirst(opened: OpenedPartition, progress: CopyProgress): Promise<boolean> {
    const { copySources, sink, partition, retry, request, lease, connection, deadlineMs, onEvent } =
      this.#options
    const { sinkPartition, calls, aside, checkpointer } = opened
    const { group } = request
    const note = async (noted: CopyProgress | undefined): Promise<void> => {
      const sentAt = performance.now()
      const answer = await this.#persist('noting the progress of the first copy', (client) =>
        noteCopy(client, request, lease.token, noted),
      )
      if (answer === 'fenced') throw new Fenced()
      this.#life.renewed(sentAt)
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
        signal: this.#life.signal,
        port: {
          mayGoOn: () => this.#life.mayStart(),
          server: () => serverIdentity(connection, request.keys, deadlineMs),
          apply: (changes) => calls.copy(changes),
          isParked: (key) => aside.has(parkedField(sink.collection.name, key)),
          park: async (change, error) => {
            await aside.setAside([change], error, false)
          },
          note,
        },
      },
      progress,
    )
    if (!(await copy.run())) return false
    const { newest, copied } = copy.progress
    const header = await this.#header()
    this.#looks.copied(stampOf(header, header.sequence))
    const { ahead, lost } = standingOf(header, { ...newest, branch: '' })
    if (ahead) await this.#overtake(ahead)
    if (lost) await this.#tellLost(lost)
    await sinkPartition.advance(this.#branches.position(checkpointer.committed))
    await note(undefined)
    onEvent({ kind: 'copied', group, partition, copied })
    return true
  }
}
