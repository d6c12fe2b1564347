import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { Pace } from '../copy/pace.ts'
import { refuseUnsafeServer } from '../doctor/diagnose.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { registerGroup } from '../group/register-group.ts'
import { logParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { LatestChanges } from '../state/latest-changes.ts'
import { StateHeads } from '../state/state-heads.ts'
import { StateReader } from '../state/state-reader.ts'
import { GroupTelemetry } from '../telemetry/group-telemetry.ts'
import { logEvents } from '../telemetry/logger.ts'
import { HealthWatch, type GroupHealth } from './group-health.ts'
import { GroupRunner } from './group-runner.ts'
import { groupSettings } from './group-settings.ts'
import { Presentation } from './presentation.ts'
import { workerSettings, type WorkerOptions } from './worker-settings.ts'

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
  const { leaseMs, drainMs, stalledAfterMs, markEveryMs, scrubKeysPerSecond, prefetch, retry } =
    workerSettings(options)
  const { onEvent, logger } = options
  const groups = Object.entries(options.groups).map(([group, given]) => groupSettings(log, group, given))
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
        prefetch,
        retry,
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
