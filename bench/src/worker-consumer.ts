import { setTimeout as delay } from 'node:timers/promises'
import { connect, startWorker, type Change, type Log, type Sink, type Worker } from '@headwater/core'
import { Arrivals } from './arrivals.ts'
import { products, type Product } from './product.ts'
import type { RedisAddress } from './raw-client.ts'
import type { Consumer, OnSentAt } from './system.ts'
import { watchSink } from './watch-sink.ts'

/** In every Redis that is measured. */
export const namespace = 'bench'

const group = 'replica'

/** One worker with one group, as an application starts it; `close` is what it leaves behind. */
export async function openWorkerConsumer(
  redis: RedisAddress,
  sink: Sink<Product>,
  onSentAt: OnSentAt | undefined,
  close: () => Promise<void> = async () => {},
): Promise<Consumer> {
  const log = await connect(redis, { namespace, collections: [products] })
  const arrivals = new Arrivals()
  const newest = new Array<number>(log.partitions).fill(0)
  // Sequences are dense, so the newest of all partitions add up to what was consumed, also where changes were coalesced.
  const watched = watchSink(sink, (changes: readonly Change[]) => {
    if (onSentAt) for (const { value } of changes) onSentAt((value as Product).sentAt)
    let arrived = 0
    for (const { partition, stamp } of changes) {
      const step = stamp.sequence - newest[partition]!
      if (step <= 0) continue
      newest[partition] = stamp.sequence
      arrived += step
    }
    arrivals.add(arrived)
  })
  let worker: Worker | undefined
  return {
    async start() {
      worker = await startOwningWorker(log, watched)
    },
    async stop() {
      await worker?.stop()
    },
    async caughtUp(count) {
      await arrivals.reach(count)
      while (!(await isAcknowledged(log))) await delay(1)
    },
    async close() {
      await worker?.stop()
      await log.close()
      await close()
    },
  }
}

/** Settles when the worker owns every partition. */
async function startOwningWorker(log: Log, sink: Sink<Product>): Promise<Worker> {
  const owned = new Arrivals()
  const worker = await startWorker(log, {
    groups: { [group]: sink },
    onEvent(event) {
      if (event.kind === 'acquired') owned.add(1)
      else if ('error' in event) console.error(`${event.kind}: ${event.error.message}`)
      // Then nothing would be measured that means anything: this process ends, and the measurement with it.
      if (event.kind === 'parked' || event.kind === 'damaged') process.exit(1)
    },
  })
  await owned.reach(log.partitions)
  return worker
}

async function isAcknowledged(log: Log): Promise<boolean> {
  const status = await log.groups()
  return status.every(({ lag, pending }) => lag === 0 && pending === 0)
}
