import { checkInteger } from '../errors/check-integer.ts'
import { checkNames } from '../errors/check-names.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import type { Backoff } from '../redis/backoff.ts'
import type { AnySink } from '../sink/sink.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { GroupOptions } from './group-settings.ts'
import type { WorkerEvent } from './worker-event.ts'

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

/** How a worker works: what its options say, checked, and the defaults. */
export interface WorkerSettings {
  readonly leaseMs: number
  readonly drainMs: number
  readonly stalledAfterMs: number
  readonly markEveryMs: number
  readonly scrubKeysPerSecond: number
  readonly prefetch: { readonly changes: number; readonly size: number }
  readonly retry: Backoff
}

const hourMs = 3_600_000
const dayMs = 24 * hourMs

const optionNames: Record<keyof WorkerOptions, true> = {
  groups: true,
  leaseMs: true,
  drainMs: true,
  prefetch: true,
  retry: true,
  name: true,
  onEvent: true,
  logger: true,
  stalledAfterMs: true,
  markEveryMs: true,
  scrubKeysPerSecond: true,
}

/** @throws HeadwaterError OPTION_INVALID */
export function workerSettings(options: WorkerOptions | undefined): WorkerSettings {
  const { groups, name, leaseMs = 15_000, drainMs = 10_000, stalledAfterMs = 30_000 } = options ?? {}
  const { markEveryMs = 60_000, scrubKeysPerSecond = 0, prefetch: ahead } = options ?? {}
  const { retry = { firstMs: 100, maxMs: 30_000 } } = options ?? {}
  const prefetch = { changes: ahead?.changes ?? 1_000, size: ahead?.size ?? 1_048_576 }
  if (typeof groups !== 'object' || groups === null)
    throw new HeadwaterError('OPTION_INVALID', 'groups of a worker must be an object of sinks by group.')
  checkNames('A worker', options!, optionNames)
  checkInteger('prefetch.changes', prefetch.changes, 1, 1_000_000)
  checkInteger('prefetch.size', prefetch.size, 1, 2 ** 30)
  checkInteger('retry.firstMs', retry.firstMs, 1, dayMs)
  checkInteger('retry.maxMs', retry.maxMs, 1, dayMs)
  // It is shown in lists and logs, line by line.
  if (name !== undefined && (typeof name !== 'string' || !/^[^\p{Cc}]{1,100}$/u.test(name)))
    throw new HeadwaterError(
      'OPTION_INVALID',
      `name ${quoted(name)} of a worker must be 1 to 100 characters without control characters.`,
    )
  checkInteger('leaseMs', leaseMs, 100, hourMs)
  checkInteger('drainMs', drainMs, 0, hourMs)
  checkInteger('stalledAfterMs', stalledAfterMs, 100, dayMs)
  checkInteger('scrubKeysPerSecond', scrubKeysPerSecond, 0, 1_000_000)
  if (markEveryMs !== 0) checkInteger('markEveryMs', markEveryMs, 100, dayMs)
  return { leaseMs, drainMs, stalledAfterMs, markEveryMs, scrubKeysPerSecond, prefetch, retry }
}
