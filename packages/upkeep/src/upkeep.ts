import { HeadwaterError, type Log } from '@headwater/core'
import type { Queue } from 'bullmq'
import type { Cluster, Redis } from 'ioredis'
import { TaskQueue } from './task-queue.ts'
import type { Surroundings } from './tasks/task.ts'
import { tasks } from './tasks/tasks.ts'
import { checkOptions, type CheckedOptions, type UpkeepOptions } from './upkeep-options.ts'

/** Upkeep of one log by this process, together with all others that do it. */
export interface Upkeep extends AsyncDisposable {
  /** The queues of the tasks, for a board. They close with the upkeep. */
  readonly queues: readonly Queue[]
  /** Ends what runs here and hands it back: another process, or the next start, goes on with it. Safe to call twice. */
  stop(): Promise<void>
}

/**
 * Schedules tasks and takes part in running them. However many processes start it for a log, every task has one schedule and
 * one active run; of a process that was killed another takes the run up.
 *
 * @throws HeadwaterError OPTION_INVALID, REDIS_UNAVAILABLE
 */
export async function startUpkeep(log: Log, options: UpkeepOptions): Promise<Upkeep> {
  const checked = checkOptions(options)
  const { plans, sinks, timeoutMs } = checked
  const surroundings: Surroundings = { log, sinks, archive: options.archive }
  refuseWhatLacks(checked, surroundings)
  const connection = await connectionLike(options.client, timeoutMs)
  const queues = plans.map(
    (plan) => new TaskQueue({ ...checked, connection, surroundings, plan, logger: options.logger }),
  )
  const close = async (): Promise<void> => {
    await Promise.all(queues.map((queue) => queue.stop()))
    connection.disconnect()
  }
  try {
    await Promise.all(queues.map((queue) => queue.start()))
  } catch (error) {
    await close()
    throw error
  }
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => (stopped ??= close())
  return { queues: queues.map(({ queue }) => queue), stop, [Symbol.asyncDispose]: stop }
}

function refuseWhatLacks({ plans, sinks }: CheckedOptions, surroundings: Surroundings): void {
  for (const { task: name } of plans) {
    const { lacks, concerns } = tasks[name]
    const needsSink = concerns !== undefined && ![...sinks.values()].some(concerns)
    const missing = needsSink
      ? 'needs `groups` with a sink that can list and read, of a collection with state'
      : lacks?.(surroundings)
    if (missing !== undefined) {
      throw new HeadwaterError('OPTION_INVALID', `Upkeep cannot start. tasks.${name}: ${missing}.`)
    }
  }
}

/** BullMQ reads plain replies and prefixes keys itself, and what waits for jobs must not give up. */
async function connectionLike(client: Redis | Cluster, timeoutMs: number): Promise<Redis | Cluster> {
  const own = {
    maxRetriesPerRequest: null,
    keyPrefix: '',
    stringNumbers: false,
    enableOfflineQueue: true,
    lazyConnect: true,
    connectionName: 'headwater-upkeep',
  }
  const connection: Redis | Cluster =
    'nodes' in client
      ? client.duplicate([], {
          redisOptions: { ...client.options.redisOptions, ...own },
          keyPrefix: '',
          lazyConnect: true,
        })
      : client.duplicate(own)
  let trouble: Error | undefined
  connection.on('error', (error: Error) => (trouble = error))
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const text = `Redis did not answer within ${timeoutMs} ms, so upkeep did not start.`
      reject(new HeadwaterError('REDIS_UNAVAILABLE', text, { cause: trouble }))
    }, timeoutMs)
  })
  try {
    // A client that cannot connect at first tries again by itself: the answer to a command tells.
    await Promise.race([connection.connect().catch(() => connection.ping()), late])
    await Promise.race([connection.ping(), late])
    return connection
  } catch (error) {
    connection.disconnect()
    throw error
  } finally {
    clearTimeout(timer)
  }
}
