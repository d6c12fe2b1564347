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
  readonly owned: readonly OwnedPartition[]
}

export interface OwnedPartition extends PartitionStatus {
  /** Log entries, each a batch of changes, that were delivered to the owner and not acknowledged. */
  readonly unacknowledged: number
}

/** Kills one of the workers by SIGKILL, in a moment in which it has work in its hands. */
export async function killBusyWorker(
  log: Log,
  redis: Redis,
  workers: readonly RemoteWorker[],
): Promise<KilledWorker> {
  const { worker, owned } = await freezeBusyWorker(log, redis, workers)
  const killedAt = performance.now()
  await worker.kill()
  return { worker, killedAt, owned }
}

/** Waits until another worker has applied a change of one of these partitions. Returns the seconds since the kill. */
export async function takenOver(log: Log, { owned, killedAt }: KilledWorker): Promise<number> {
  const unfinished = owned.filter(({ unacknowledged }) => unacknowledged > 0)
  await Promise.any(
    unfinished.map(({ group, checkpoint }) => {
      const { partition, epoch, sequence } = parsePosition(checkpoint)
      const next = formatPosition(partition, { epoch, sequence: sequence + 1 })
      return log.whenApplied(next, { group, timeoutMs: 120_000 })
    }),
  )
  return (performance.now() - killedAt) / 1_000
}

export function countUnacknowledged(owned: readonly OwnedPartition[]): number {
  return owned.reduce((sum, { unacknowledged }) => sum + unacknowledged, 0)
}

/** A frozen worker acknowledges nothing any more, so what it is seen to hold is what it dies with. */
async function freezeBusyWorker(
  log: Log,
  redis: Redis,
  workers: readonly RemoteWorker[],
): Promise<Pick<KilledWorker, 'worker' | 'owned'>> {
  for (;;) {
    for (const worker of workers) {
      worker.freeze()
      // After the answer to this, Redis has executed what the worker sent before it froze.
      await redis.ping()
      const owned = await partitionsOf(worker, log, redis)
      if (countUnacknowledged(owned) > 0) return { worker, owned }
      worker.thaw()
    }
    await delay(10)
  }
}

/** Asks the log who owns what, and Redis itself what was delivered to the owner. */
async function partitionsOf(worker: RemoteWorker, log: Log, redis: Redis): Promise<OwnedPartition[]> {
  const owned = (await log.groups()).filter(({ owner }) => owner === worker.id)
  return await Promise.all(
    owned.map(async (status) => {
      const stream = `headwater:{${log.namespace}:${status.partition}}:log`
      const [unacknowledged] = await redis.xpending(stream, status.group)
      return { ...status, unacknowledged: Number(unacknowledged) }
    }),
  )
}
