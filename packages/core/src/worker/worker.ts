import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { checkStart, type GroupStart } from '../copy/group-start.ts'
import { Pace } from '../copy/pace.ts'
import { refuseUnsafeServer } from '../doctor/diagnose.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import { checkGroupName } from '../group/group-name.ts'
import { registerGroup } from '../group/register-group.ts'
import { logParts, type Log } from '../namespace/log.ts'
import type { ParkingBounds } from '../parking/park.ts'
import type { Backoff } from '../redis/backoff.ts'
import { guardSink } from '../sink/guarded-sink.ts'
import type { AnySink, Sink } from '../sink/sink.ts'
import { GroupTelemetry } from '../telemetry/group-telemetry.ts'
import { logEvents, type Logger } from '../telemetry/logger.ts'
import { HealthWatch, type GroupHealth } from './group-health.ts'
import { GroupRunner } from './group-runner.ts'
import { LatestChanges } from '../state/latest-changes.ts'
import { StateHeads } from '../state/state-heads.ts'
import { StateReader } from '../state/state-reader.ts'
import { Presentation } from './presentation.ts'
import { noteGroupOfSink } from './sink-groups.ts'
import type { WorkerEvent } from './worker-event.ts'

/** A sink, and how its group works; a sink alone means the defaults. */
export interface GroupOptions {
  readonly sink: AnySink
  /** Whether changes of a key that wait together are applied as their newest. Default true. */
  readonly coalesce?: boolean
  /** How many calls of one partition may be at the sink at once. Default and upper bound: what the sink declares. */
  readonly concurrency?: number
  /** How long one call of the sink may take, in ms. Default 30,000. */
  readonly applyTimeoutMs?: number
  /**
   * How much each partition may have parked before it stands still: keys, and changes of one key. Default 1,000 each: so
   * many bad keys are no bad keys, but a sink that is wrong.
   */
  readonly parking?: { readonly keys?: number; readonly changesOfKey?: number }
  /**
   * So often a key may fail while the sink takes others, before it is parked. Default 20: with the default delays some five
   * minutes. A sink that takes nothing uses up no attempts.
   */
  readonly attemptsMax?: number
  /**
   * So many workers in a row may die while they apply changes, before the one change that the last of them had in hand is parked.
   * From 2, default 3.
   */
  readonly deathsMax?: number
  /** Where a group begins that is new to the log; one that is known goes on where it stands. Default `beginning`. */
  readonly start?: GroupStart
  /** At most so many keys a second are copied for `start: 'state'`, in this worker. Default: no limit. */
  readonly copyKeysPerSecond?: number
}

export interface WorkerOptions {
  /** Each group has one sink and its own progress. A new name begins at the beginning of the log, unless `start` says otherwise. */
  readonly groups: Readonly<Record<string, AnySink | GroupOptions>>
  /**
   * Within this time after a worker has died, another has taken over: its leases run out after three quarters of it.
   * From 100, default 15,000 ms.
   */
  readonly leaseMs?: number
  /** How long `stop` lets sinks finish, in ms. Default 10,000. */
  readonly drainMs?: number
  /** Read ahead for each partition at most: changes (default 1,000) and characters (default 1,048,576). */
  readonly prefetch?: { readonly changes?: number; readonly size?: number }
  /** Delays between attempts at a failing sink. Default: from 100 ms, at most 30,000 ms, with full jitter. */
  readonly retry?: Backoff
  /** Shown, with a random part behind it, as the owner of leases. Default: host name and process number. */
  readonly name?: string
  readonly onEvent?: (event: WorkerEvent) => void
  /** Told what happens, without payloads and secrets. Default: nobody. */
  readonly logger?: Logger
  /** After how long without a checkpoint, retry or parking a group in which changes wait is not ready, in ms. Default 30,000. */
  readonly stalledAfterMs?: number
  /**
   * How often the log gets a marker at which sinks check themselves, in ms; 0 for never. However many workers there are, a
   * partition gets one in this time, and none where nothing was appended. From 100, default 60,000.
   */
  readonly markEveryMs?: number
  /**
   * How many stored values of each group are read a second, to find what was changed behind a sink's back: a walk that never
   * ends, shared by all workers of the group. Default 0: none.
   */
  readonly scrubKeysPerSecond?: number
}

/** What a lease lasts of `leaseMs`: the rest is for the successor to notice, open the sink and go on. */
const leaseShare = 0.75

/** How often Redis is asked how far groups are behind, at least: a part of the time that they may stand still. */
const observeEveryMs = 1_000

/** A marker that is nearly as old as the interval counts as old: timers of several workers are never quite together. */
const recentShare = 0.9

export interface WorkerHealth {
  /** Whether it runs; false once it was stopped. A process that answers is alive. */
  readonly live: boolean
  /** Whether it runs and every group is ready. */
  readonly ready: boolean
  readonly groups: Readonly<Record<string, GroupHealth>>
}

/** Applies the changes of a log to sinks, together with all other workers of the same groups. */
export interface Worker extends AsyncDisposable {
  readonly name: string
  /** Settles when the worker has stopped. */
  readonly done: Promise<void>
  /** For probes: answers at once, from what was seen within the last second. */
  health(): WorkerHealth
  /** Stops reading, finishes what is at the sinks, and hands its partitions over. Safe to call twice. */
  stop(): Promise<void>
}

/**
 * Starts a worker. Several of them, in one process or many, share the partitions of their groups.
 *
 * @throws HeadwaterError OPTION_INVALID, COLLECTION_UNKNOWN, SINK_CONTRACT, SERVER_UNSAFE, LOG_DAMAGED, REDIS_UNAVAILABLE;
 * HISTORY_TRIMMED, STATE_REQUIRED where a new group cannot start as it is told to
 */
export async function startWorker(log: Log, options: WorkerOptions): Promise<Worker> {
  const parts = logParts(log)
  checkWorker(options)
  const { leaseMs = 15_000, drainMs = 10_000, stalledAfterMs = 30_000, onEvent, logger } = options
  const { markEveryMs = 60_000, scrubKeysPerSecond = 0 } = options
  checkInteger('leaseMs', leaseMs, 100, 3_600_000)
  checkInteger('drainMs', drainMs, 0, 3_600_000)
  checkInteger('stalledAfterMs', stalledAfterMs, 100, 86_400_000)
  checkInteger('scrubKeysPerSecond', scrubKeysPerSecond, 0, 1_000_000)
  if (markEveryMs !== 0) checkInteger('markEveryMs', markEveryMs, 100, 86_400_000)
  const groups = Object.entries(options.groups).map(([group, given]) => checkGroup(log, group, given))
  if (groups.length === 0) throw new HeadwaterError('OPTION_INVALID', 'A worker needs at least one group.')
  await refuseUnsafeServer(parts)
  for (const { group, start } of groups)
    await registerGroup(parts.connection, parts.namespace, parts.keys, group, parts.deadlineMs, start)

  // The random part keeps apart what was given the same name: two owners of one name would both believe in their lease.
  const name = `${options.name ?? `${hostname()}-${process.pid}`}-${randomBytes(3).toString('hex')}`
  const connection = parts.openConnection('worker')
  const { hasher, metadata, collections, keys, deadlineMs } = parts
  const router = { hasher, partitions: metadata.partitions, buckets: metadata.buckets }
  const state = new StateReader(connection, keys, router, deadlineMs)
  const heads = new StateHeads(connection, keys, router, deadlineMs)
  const latest = new LatestChanges(parts, router)
  const tell = logger && logEvents(logger)
  const watches = new Map<string, HealthWatch>()
  const telemetries: GroupTelemetry[] = []
  const runners = groups.map(
    ({ group, sink, coalesce, concurrency, parking, attemptsMax, deathsMax, copyKeysPerSecond }) => {
      const watch = new HealthWatch(stalledAfterMs)
      const telemetry = new GroupTelemetry(parts.namespace, group, watch)
      watches.set(group, watch)
      telemetries.push(telemetry)
      return new GroupRunner({
        parts,
        health: watch,
        telemetry,
        context: { hasher, partitions: metadata.partitions, buckets: metadata.buckets, collections },
        connection,
        worker: name,
        group,
        sink,
        presentation: new Presentation(sink, state),
        copySources: { heads, latest, state, buckets: metadata.buckets, pace: new Pace(copyKeysPerSecond) },
        leaseMs: Math.ceil(leaseMs * leaseShare),
        coalesce,
        scrubKeysPerSecond,
        concurrency,
        parking,
        attemptsMax,
        deathsMax,
        prefetch: { changes: options.prefetch?.changes ?? 1_000, size: options.prefetch?.size ?? 1_048_576 },
        retry: options.retry ?? { firstMs: 100, maxMs: 30_000 },
        onEvent(event) {
          const { kind, partition } = event
          if (kind === 'acquired' || kind === 'released' || kind === 'lost')
            telemetry.rebalanced(partition, kind)
          tell?.(event)
          onEvent?.(event)
        },
      })
    },
  )
  for (const runner of runners) runner.start()
  // Redis that cannot be asked is what the health then tells.
  const observing = setInterval(
    () => {
      for (const runner of runners) runner.observe().catch(() => {})
    },
    Math.min(observeEveryMs, stalledAfterMs / 4),
  )

  // A marker that cannot be put there now is put there the next time.
  const marking =
    markEveryMs > 0
      ? setInterval(() => {
          for (const runner of runners) runner.mark(markEveryMs * recentShare).catch(() => {})
        }, markEveryMs)
      : undefined

  let finished!: () => void
  const done = new Promise<void>((resolve) => (finished = resolve))
  let stopping: Promise<void> | undefined
  const stop = async (): Promise<void> => {
    clearInterval(observing)
    clearInterval(marking)
    await Promise.all(runners.map((runner) => runner.stop(drainMs)))
    for (const telemetry of telemetries) telemetry.close()
    connection.close()
    finished()
  }
  return {
    name,
    done,
    health() {
      const reports = Object.fromEntries([...watches].map(([group, watch]) => [group, watch.report()]))
      const live = stopping === undefined
      return { live, ready: live && Object.values(reports).every(({ ready }) => ready), groups: reports }
    },
    stop: () => (stopping ??= stop()),
    [Symbol.asyncDispose]: () => (stopping ??= stop()),
  }
}

function checkGroup(
  log: Log,
  group: string,
  given: AnySink | GroupOptions,
): {
  group: string
  sink: Sink
  coalesce: boolean
  concurrency: number
  parking: ParkingBounds
  attemptsMax: number
  deathsMax: number
  start: GroupStart
  copyKeysPerSecond: number
} {
  checkGroupName(group)
  const {
    sink,
    coalesce = true,
    concurrency,
    applyTimeoutMs,
    parking: { keys = 1_000, changesOfKey = 1_000 } = {},
    attemptsMax = 20,
    deathsMax = 3,
    start = 'beginning',
    copyKeysPerSecond = Number.POSITIVE_INFINITY,
  }: GroupOptions = given && 'sink' in given ? given : { sink: given }
  if (typeof sink?.open !== 'function') {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `Group ${JSON.stringify(group)} needs a sink, such as postgresSink(…) gives.`,
    )
  }
  const known = logParts(log).collections.get(sink.collection.name)
  if (known !== sink.collection) {
    throw new HeadwaterError(
      'COLLECTION_UNKNOWN',
      `The sink of group ${group} takes ${sink.collection.name}, which was not given to connect().`,
    )
  }
  if (concurrency !== undefined)
    checkInteger(`concurrency of group ${group}`, concurrency, 1, sink.capabilities.concurrency)
  checkInteger(`parking.keys of group ${group}`, keys, 1, 1_000_000)
  checkInteger(`parking.changesOfKey of group ${group}`, changesOfKey, 1, 1_000_000)
  if (applyTimeoutMs !== undefined) checkInteger(`applyTimeoutMs of group ${group}`, applyTimeoutMs, 1, dayMs)
  checkInteger(`attemptsMax of group ${group}`, attemptsMax, 1, 1_000_000)
  checkInteger(`deathsMax of group ${group}`, deathsMax, 2, 1_000)
  checkStart(group, sink, start)
  if (!(copyKeysPerSecond > 0)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `copyKeysPerSecond ${String(copyKeysPerSecond)} of group ${group} must be above 0.`,
    )
  }
  noteGroupOfSink(sink, group)
  return {
    start,
    copyKeysPerSecond,
    group,
    sink: guardSink(sink, applyTimeoutMs === undefined ? {} : { applyTimeoutMs }),
    // Events count each for itself, also to a sink that keeps the latest of each key.
    coalesce: coalesce && sink.takes !== 'events' && sink.collection.state !== 'none',
    concurrency: concurrency ?? sink.capabilities.concurrency,
    parking: { keys, changesOfKey },
    attemptsMax,
    deathsMax,
  }
}

const dayMs = 86_400_000

function checkWorker(options: WorkerOptions | undefined): void {
  const { groups, prefetch, retry, name } = options ?? {}
  if (typeof groups !== 'object' || groups === null)
    throw new HeadwaterError('OPTION_INVALID', 'groups of a worker must be an object of sinks by group.')
  if (prefetch?.changes !== undefined) checkInteger('prefetch.changes', prefetch.changes, 1, 1_000_000)
  if (prefetch?.size !== undefined) checkInteger('prefetch.size', prefetch.size, 1, 2 ** 30)
  if (retry !== undefined) {
    checkInteger('retry.firstMs', retry.firstMs, 1, dayMs)
    checkInteger('retry.maxMs', retry.maxMs, 1, dayMs)
  }
  // It is shown in lists and logs, line by line.
  if (name !== undefined && (typeof name !== 'string' || !/^[^\p{Cc}]{1,100}$/u.test(name)))
    throw new HeadwaterError(
      'OPTION_INVALID',
      `name ${quoted(name)} of a worker must be 1 to 100 characters without control characters.`,
    )
}

function checkInteger(name: string, value: unknown, min: number, max: number): void {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return
  throw new HeadwaterError(
    'OPTION_INVALID',
    `${name} ${quoted(value)} must be an integer from ${min} to ${max}.`,
  )
}
