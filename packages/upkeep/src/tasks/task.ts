import type { AnySink, ArchiveStore, Log } from '@headwater/core'
import type { z } from 'zod'

/** What tasks work on. */
export interface Surroundings {
  readonly log: Log
  readonly sinks: ReadonlyMap<string, AnySink>
  readonly archive: ArchiveStore | undefined
}

/** One run of a task. */
interface Run {
  /** Aborts when the run has to end: its task goes on with the next run, from here or another process. */
  readonly signal: AbortSignal
  /** How far it is: a share from 0 to 1. */
  readonly progress: (share: number) => void
}

/** One kind of upkeep. `settings` is what its jobs carry as data, and what configures it. */
export interface Task<Settings extends z.ZodObject = z.ZodObject> {
  readonly settings: Settings
  /** Of which sinks it has a schedule each; undefined for one schedule for the whole log. */
  readonly concerns?: (sink: AnySink) => boolean
  /** Why it cannot be scheduled with what upkeep was given; undefined where it can. */
  readonly lacks?: (surroundings: Surroundings) => string | undefined
  /** Resolves with a summary that becomes the job's return value: small, and without values of users. */
  run(
    surroundings: Surroundings,
    settings: z.output<Settings>,
    run: Run,
    group: string | undefined,
  ): Promise<object>
}

/** Gives a task back as it is; it is there for its types. */
export function task<Settings extends z.ZodObject>(definition: Task<Settings>): Task<Settings> {
  return definition
}
