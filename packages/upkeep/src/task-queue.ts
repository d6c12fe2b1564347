import { isHeadwaterError, type Logger } from '@headwater/core'
import { Queue, UnrecoverableError, WaitingError, Worker, type Job } from 'bullmq'
import type { Cluster, Redis } from 'ioredis'
import { z } from 'zod'
import { Progress } from './progress.ts'
import { upkeepQueueName } from './queue-name.ts'
import { mend, schedule, type WantedScheduler } from './scheduler.ts'
import { tasks } from './tasks/tasks.ts'
import type { Surroundings, Task } from './tasks/task.ts'
import type { CheckedOptions, Plan } from './upkeep-options.ts'

/** A run that kills its processes is given up after so many of them: the next one of the schedule begins anew. */
const startsMax = 20

const firstDelayMs = 10_000
const mendEveryMs = 60_000

export interface TaskQueueOptions extends Pick<
  CheckedOptions,
  'prefix' | 'takeOverMs' | 'attempts' | 'kept' | 'timeoutMs'
> {
  /** BullMQ is to wait for it as long as it takes: `maxRetriesPerRequest` null. Closed by whoever opened it. */
  readonly connection: Redis | Cluster
  readonly surroundings: Surroundings
  readonly plan: Plan
  readonly logger: Logger | undefined
}

/**
 * The schedules and runs of one task. Each task has a queue of its own with a global concurrency of 1, which BullMQ keeps in
 * the script that hands jobs out: so there is one active run of it, however many processes there are.
 */
export class TaskQueue {
  readonly queue: Queue
  readonly #options: TaskQueueOptions
  readonly #schedulers: readonly WantedScheduler[]
  readonly #stopping = new AbortController()
  readonly #runs = new Map<string, ActiveRun>()
  #worker: Worker | undefined
  #mending: NodeJS.Timeout | undefined

  constructor(options: TaskQueueOptions) {
    const { connection, prefix, plan, surroundings } = options
    this.#options = options
    this.#schedulers = schedulersOf(options)
    this.queue = new Queue(upkeepQueueName(surroundings.log.namespace, plan.task), { connection, prefix })
    this.queue.on('error', this.#warn)
  }

  async start(): Promise<void> {
    const { connection, prefix, takeOverMs } = this.#options
    await this.queue.setGlobalConcurrency(1)
    for (const wanted of this.#schedulers) await schedule(this.queue, wanted)
    const worker = new Worker(this.queue.name, (job: Job, token) => this.#process(job, token!), {
      connection,
      prefix,
      concurrency: 1,
      lockDuration: lockMs(takeOverMs),
      stalledInterval: lockMs(takeOverMs),
      maxStartedAttempts: startsMax,
    })
    this.#worker = worker
    worker.on('error', this.#warn)
    worker.on('locksRenewed', ({ jobIds }) => {
      for (const id of jobIds) this.#runs.get(id)?.renewed()
    })
    worker.on('lockRenewalFailed', (ids) => {
      for (const id of ids) this.#runs.get(id)?.lose()
    })
    worker.on('completed', (job) => this.#told('info', job, 'ran'))
    worker.on('failed', (job, error) => job && this.#told('error', job, 'failed', error))
    this.#mending = setInterval(() => void this.#mend(), mendEveryMs)
    this.#mending.unref()
  }

  /** Ends the run that is active here and hands it back, then lets the queue go. Safe to call twice. */
  async stop(): Promise<void> {
    clearInterval(this.#mending)
    this.#stopping.abort(new Error('Upkeep stops.'))
    const { timeoutMs } = this.#options
    if (this.#worker) {
      const closed = this.#worker.close()
      const late = await Promise.race([closed, after(timeoutMs)])
      if (late) await this.#worker.disconnect().catch(this.#warn)
    }
    await this.queue.close()
  }

  async #process(job: Job, token: string): Promise<unknown> {
    const { plan, takeOverMs, surroundings } = this.#options
    const task = tasks[plan.task]
    const { group, settings } = read(job, task)
    if (task.concerns && !surroundings.sinks.has(group!)) {
      const text = `This process has no sink for ${String(group)}: upkeep of one log is given the same groups everywhere.`
      throw new UnrecoverableError(text)
    }
    const run = new ActiveRun(this.#stopping.signal, lockMs(takeOverMs))
    const progress = new Progress(job, this.#warn)
    this.#runs.set(job.id!, run)
    let whole = false
    try {
      const result = await task.run(
        surroundings,
        settings,
        { signal: run.signal, progress: (done) => progress.tell(done) },
        group,
      )
      whole = true
      return result
    } catch (error) {
      if (run.isLost) throw new WaitingError()
      if (this.#stopping.signal.aborted) {
        // Whoever is next goes on with it, and this was no attempt.
        await job.moveToWait(token)
        throw new WaitingError()
      }
      throw isFinal(error) ? new UnrecoverableError((error as Error).message) : error
    } finally {
      run.end()
      this.#runs.delete(job.id!)
      await progress.end({ whole: whole && !run.isLost })
    }
  }

  async #mend(): Promise<void> {
    try {
      for (const { id } of this.#schedulers) await mend(this.queue, id)
    } catch (error) {
      this.#warn(error as Error)
    }
  }

  #told(level: 'info' | 'error', { name, attemptsMade, data }: Job, what: string, error?: Error): void {
    const { group } = data as { group?: string }
    const facts = {
      event: `upkeep-${what}`,
      task: this.#options.plan.task,
      ...(group !== undefined && { group }),
      attempts: attemptsMade,
      ...(error && { code: isHeadwaterError(error) ? error.code : error.name }),
    }
    this.#options.logger?.[level](facts, `${name} ${what}`)
  }

  readonly #warn = (error: Error): void => {
    if (this.#stopping.signal.aborted) return
    const { code } = error as { readonly code?: unknown }
    const { task } = this.#options.plan
    this.#options.logger?.warn(
      { event: 'upkeep-trouble', task, error: typeof code === 'string' ? code : error.message },
      'has trouble with its queue',
    )
  }
}

/** The right to a run: it ends with this process, and with the lock that BullMQ keeps for it. */
class ActiveRun {
  readonly signal: AbortSignal
  readonly #lost = new AbortController()
  readonly #expiry: NodeJS.Timeout

  constructor(stopping: AbortSignal, lockMs: number) {
    this.signal = AbortSignal.any([stopping, this.#lost.signal])
    // Without an answer from the server nobody tells that the lock is gone.
    this.#expiry = setTimeout(() => this.lose(), lockMs)
    this.#expiry.unref()
  }

  get isLost(): boolean {
    return this.#lost.signal.aborted
  }

  renewed(): void {
    this.#expiry.refresh()
  }

  lose(): void {
    this.#lost.abort(new Error('Another process may have taken this run up.'))
  }

  end(): void {
    clearTimeout(this.#expiry)
  }
}

function schedulersOf({ plan, surroundings, attempts, kept }: TaskQueueOptions): WantedScheduler[] {
  const { task, everyMs, cron, timeZone, settings } = plan
  const { concerns } = tasks[task]
  const repeat =
    everyMs === undefined
      ? { pattern: cron!, ...(timeZone !== undefined && { tz: timeZone }) }
      : { every: everyMs }
  const opts = {
    attempts,
    backoff: { type: 'exponential', delay: firstDelayMs },
    removeOnComplete: { count: kept },
    removeOnFail: { count: kept },
  }
  if (!concerns) return [{ id: task, repeat, name: task, data: settings, opts }]
  return [...surroundings.sinks]
    .filter(([, sink]) => concerns(sink))
    .map(([group]) => ({ id: group, repeat, name: `${task} ${group}`, data: { group, ...settings }, opts }))
}

/** A lock runs out after as long again as others take to look for locks that did. */
function lockMs(takeOverMs: number): number {
  return Math.floor(takeOverMs / 2)
}

/** What a job carries: of a schedule, or added by hand on a board. */
function read(job: Job, task: Task): { group: string | undefined; settings: Record<string, unknown> } {
  const group = task.concerns ? z.string() : z.never().optional()
  const { success, data, error } = task.settings.extend({ group }).safeParse(job.data)
  if (success) {
    const { group, ...settings } = data as { group: string | undefined } & Record<string, unknown>
    return { group, settings }
  }
  const wrong = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new UnrecoverableError(`The data of this job cannot be read. ${wrong.join('; ')}.`)
}

/** Whether the same run would fail again. */
function isFinal(error: unknown): boolean {
  return isHeadwaterError(error) && !error.retryable
}

function after(ms: number): Promise<'late'> {
  return new Promise((resolve) => setTimeout(resolve, ms, 'late').unref())
}
