import {
  HeadwaterError,
  type AnySink,
  type ArchiveStore,
  type ErrorCode,
  type Logger,
  type WorkerOptions,
} from '@headwater/core'
import { getNextMillis } from 'bullmq'
import type { Cluster, Redis } from 'ioredis'
import { z } from 'zod'
import { tasks, type TaskName } from './tasks/tasks.ts'

/** When runs begin: so often, the first time at once; or by a cron expression of five or six fields. */
export type Schedule =
  | {
      /** From 1,000. */
      readonly everyMs: number
      readonly cron?: never
      readonly timeZone?: never
    }
  | {
      readonly everyMs?: never
      readonly cron: string
      /** Default: that of the process. */
      readonly timeZone?: string
    }

/** What is done, and when. What is left out is not scheduled by this process. */
export interface UpkeepTasks {
  /** Writes to the option `archive` what it has not yet. */
  readonly archive?: Schedule
  /** Removes from the log what is old enough and nobody registered needs. */
  readonly trim?: Schedule
  /** Lets go of idempotency records, silent producers, and tombstones beside the log and in the sinks of `groups`. */
  readonly purge?: Schedule & {
    /** Default 7 days. */
    readonly producersOlderThanMs?: number
  }
  /** Feeds parked keys back, of every registered group: all, or those that match. */
  readonly redrive?: Schedule & {
    readonly collection?: string
    readonly reason?: ErrorCode
    readonly minAgeMs?: number
    /** Default 1,000. */
    readonly changesPerSecond?: number
  }
  /** Compares each sink of `groups` with the log, one schedule a group. */
  readonly verify?: Schedule & {
    /** Reads the stored values too. Default false. */
    readonly deep?: boolean
    /** How long to wait for a sink that is behind. Default 10,000. */
    readonly timeoutMs?: number
  }
  /** Reads all stored values of each sink of `groups`, slowly, one schedule a group. */
  readonly scrub?: Schedule & {
    /** Default 1,000. */
    readonly keysPerSecond?: number
  }
}

export interface UpkeepOptions {
  /** On whose server the queues are: that of the log or another. Connections like it are made; it is never closed here. */
  readonly client: Redis | Cluster
  readonly tasks: UpkeepTasks
  /** The sinks to verify, scrub and purge, as a worker has them. Every process with upkeep of one log should name the same. */
  readonly groups?: WorkerOptions['groups']
  /** Where `archive` writes to. */
  readonly archive?: ArchiveStore
  /** BullMQ's prefix of the queues. Default `bull`, where boards look. */
  readonly prefix?: string
  /** Within this time after a process has died, another has taken its run up. From 1,000, default 30,000 ms. */
  readonly takeOverMs?: number
  /** How often a run is tried that fails for a reason that may pass, with growing delays. Default 6: over some five minutes. */
  readonly attempts?: number
  /** So many finished and so many failed runs of each task stay to be looked at. Default 100. */
  readonly kept?: number
  /** How long `start` waits for the server, and `stop` for runs to end, in ms. Default 10,000. */
  readonly timeoutMs?: number
  /** Told how runs end, without payloads and secrets. Default: nobody. */
  readonly logger?: Logger
}

/** One schedule of a task, as it stands in its queue. */
export interface Plan {
  readonly task: TaskName
  readonly everyMs: number | undefined
  readonly cron: string | undefined
  readonly timeZone: string | undefined
  readonly settings: Readonly<Record<string, unknown>>
}

/** Options whose shape was checked, with their defaults. */
export interface CheckedOptions {
  readonly plans: readonly Plan[]
  readonly sinks: ReadonlyMap<string, AnySink>
  readonly prefix: string
  readonly takeOverMs: number
  readonly attempts: number
  readonly kept: number
  readonly timeoutMs: number
}

const when = {
  everyMs: z.int().min(1_000).optional(),
  cron: z.string().min(1).optional(),
  timeZone: z.string().min(1).optional(),
}

type When = { readonly [name in keyof typeof when]?: z.output<(typeof when)[name]> }

function isScheduled({ everyMs, cron, timeZone }: When): boolean {
  return (everyMs === undefined) !== (cron === undefined) && (timeZone === undefined || cron !== undefined)
}

/** Whether it is a moment that comes: BullMQ would fail on anything else, or never run it. */
function comes({ cron, timeZone }: When): boolean {
  if (cron === undefined) return true
  try {
    const next = getNextMillis(Date.now(), { pattern: cron, ...(timeZone !== undefined && { tz: timeZone }) })
    return Number.isFinite(next)
  } catch {
    return false
  }
}

const schema = z.object({
  client: z.custom<Redis | Cluster>(
    (client) => typeof (client as Partial<Redis> | undefined)?.duplicate === 'function',
    'must be an ioredis client',
  ),
  tasks: z
    .strictObject(
      Object.fromEntries(
        Object.entries(tasks).map(([name, { settings }]) => [
          name,
          settings
            .extend(when)
            .refine(isScheduled, 'needs either everyMs, or cron with or without a timeZone')
            .refine(comes, 'cron or timeZone cannot be read')
            .optional(),
        ]),
      ),
    )
    .refine((given) => Object.values(given).some((task) => task !== undefined), 'name at least one task'),
  groups: z
    .record(
      z.string(),
      z.custom<object>((group) => typeof group === 'object' && group !== null),
    )
    .default({}),
  archive: z.custom<ArchiveStore>((store) => typeof store === 'object' && store !== null).optional(),
  prefix: z.string().min(1).default('bull'),
  takeOverMs: z.int().min(1_000).default(30_000),
  attempts: z.int().min(1).default(6),
  kept: z.int().min(1).default(100),
  timeoutMs: z.int().min(1).default(10_000),
  logger: z.custom<Logger>((logger) => typeof logger === 'object' && logger !== null).optional(),
})

/** @throws HeadwaterError OPTION_INVALID that names each option that is wrong */
export function checkOptions(options: UpkeepOptions): CheckedOptions {
  const { success, error, data } = schema.strict().safeParse(options)
  if (!success) {
    const wrong = error.issues.map(({ path, message }) => `${path.join('.') || 'options'}: ${message}`)
    throw new HeadwaterError('OPTION_INVALID', `Upkeep cannot start. ${wrong.join('; ')}.`)
  }
  const { tasks: given, groups, prefix, takeOverMs, attempts, kept, timeoutMs } = data
  const plans = Object.entries(given as Record<TaskName, Record<string, unknown> | undefined>).flatMap(
    ([task, planned]): Plan[] => {
      if (planned === undefined) return []
      const { everyMs, cron, timeZone, ...settings } = planned
      return [
        { task: task as TaskName, ...({ everyMs, cron, timeZone } as Pick<Plan, keyof When>), settings },
      ]
    },
  )
  const sinks = new Map(
    Object.entries(groups as WorkerOptions['groups']).map(([name, group]) => [
      name,
      'sink' in group ? group.sink : group,
    ]),
  )
  return { plans, sinks, prefix, takeOverMs, attempts, kept, timeoutMs }
}
