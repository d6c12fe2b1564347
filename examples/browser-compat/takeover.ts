import { setTimeout as delay } from 'node:timers/promises'
import { formatPosition, type Log, parsePosition, type PartitionStatus } from '@headwater/core'
import type { Redis } from 'ioredis'
import type { RemoteWorker } from './remote-worker.ts'

/** A worker that was killed, and what it held at that moment. */
export interface KilledWorker {
  readonly worker: RemoteWorker
  /** By `performance.now()`. */
  readonly killedAt: number
  /** The partitions that it owned, those of each group for themselves. */
  readonly owned: readonly PartitionStatus[]
  /** Log entries, each a batch of changes, that were delivered to it and not acknowledged. */
  readonly unacknowledged: number
}

/** Kills one of the workers by SIGKILL, in a moment in which it has work in its hands. */
export async function killBusyWorker(
  log: Log,
  redis: Redis,
  workers: readonly RemoteWorker[],
): Promise<KilledWorker> {
  const { worker, owned, unacknowledged } = await freezeBusyWorker(log, redis, workers)
  const killedAt = performance.now()
  await worker.kill()
  return { worker, killedAt, owned, unacknowledged }
}

/** Waits until another worker has applied a change of one of these partitions. Returns the seconds since the kill. */
export async function takenOver(log: Log, { owned, killedAt }: KilledWorker): Promise<number> {
  const unfinished = owned.filter(({ pending }) => pending > 0)
  await Promise.any(
    unfinished.map(({ group, checkpoint }) => {
      const { partition, epoch, sequence } = parsePosition(checkpoint)
      const next = formatPosition(partition, { epoch, sequence: sequence + 1 })
      return log.whenApplied(next, { group, timeoutMs: 120_000 })
    }),
  )
  return (performance.now() - killedAt) / 1_000
}

/** A frozen worker acknowledges nothing any more, so what it is seen to hold is what it dies with. */
async function freezeBusyWorker(
  log: Log,
  redis: Redis,
  workers: readonly RemoteWorker[],
): Promise<Omit<KilledWorker, 'killedAt'>> {
  for (;;) {
    for (const worker of workers) {
      worker.freeze()
      // By the answer to this, Redis has also executed what the worker sent before it froze.
      await redis.ping()
      const owned = (await log.groups()).filter(({ owner }) => owner === worker.id)
      const unacknowledged = await countUnacknowledged(redis, log.namespace, owned)
      if (unacknowledged > 0) return { worker, owned, unacknowledged }
      worker.thaw()
    }
    await delay(10)
  }
}

/** Asks Redis itself, as the second witness beside `log.groups()`. */
async function countUnacknowledged(
  redis: Redis,
  namespace: string,
  owned: readonly PartitionStatus[],
): Promise<number> {
  const counts = await Promise.all(
    owned.map(async ({ group, partition }) => {
      const [count] = await redis.xpending(`headwater:{${namespace}:${partition}}:log`, group)
      return Number(count)
    }),
  )
  return counts.reduce((sum, count) => sum + count, 0)
}
