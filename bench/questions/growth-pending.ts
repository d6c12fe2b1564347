import { connect, startWorker, type Log, type Sink } from '@headwater/core'
import { Redis } from 'ioredis'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { fillLongLog } from '../src/long-log.ts'
import { measureSizes, sizeRatios } from '../src/measure-sizes.ts'
import { nowhereSink } from '../src/nowhere-sink.ts'
import { products, type Product } from '../src/product.ts'
import type { Question } from '../src/question.ts'
import type { RedisAddress } from '../src/raw-client.ts'
import { median } from '../src/rounds.ts'
import { growthChart } from '../src/sizes.ts'
import { namespace } from '../src/worker-consumer.ts'

const sizes = [1_000, 10_000, 100_000, 1_000_000]
const group = 'replica'
/** Under which every worker reads. */
const consumer = 'headwater'
const deliveredPerRead = 1_000

export const growthPending: Question = {
  name: 'growth-pending',
  asks: 'What do a takeover and a look at the groups cost with more and more entries pending?',
  async answer(bench) {
    const { costs, versions } = await measureSizes(bench, {
      sizes,
      async prepare(redis, entries) {
        await fillLongLog(redis, entries)
        const log = await connect({ ...redis }, { namespace, collections: [products] })
        await firstApplyMs(log)
        await deliverAll(redis, log, entries)
        return { log, [Symbol.asyncDispose]: () => log.close() }
      },
      measure: async ({ log }) => ({ takeover: await takeoverMs(log), status: await statusMs(log) }),
    })
    const flat = { atMost: 1.5 }
    return {
      ratios: sizeRatios('growth-pending', costs, { takeover: flat, status: flat }),
      charts: [growthChart('growth-pending', 'A takeover, by what is pending', 'pending entries', costs)],
      contenders: [
        'time until a new worker hands the first pending change to its sink, and until `log.groups()` answers; one partition, entries of one change, all of them delivered and none acknowledged; a server for each size',
      ],
      versions,
    }
  },
}

/** Starts a worker whose sink takes nothing, so that everything stays pending. */
async function firstApplyMs(log: Log): Promise<number> {
  const startedAt = performance.now()
  let reached!: (ms: number) => void
  const first = new Promise<number>((resolve) => (reached = resolve))
  const sink: Sink<Product> = nowhereSink((_changes, stop) => {
    reached(performance.now() - startedAt)
    return new Promise((_, reject) => stop.addEventListener('abort', () => reject(stop.reason as Error)))
  })
  const worker = await startWorker(log, { groups: { [group]: sink }, drainMs: 0 })
  const ms = await first
  await worker.stop()
  return ms
}

async function takeoverMs(log: Log): Promise<number> {
  const times: number[] = []
  for (let time = 0; time < 5; time++) times.push(await firstApplyMs(log))
  return median(times)
}

async function statusMs(log: Log): Promise<number> {
  const times: number[] = []
  for (let time = 0; time < 20; time++) {
    const startedAt = performance.now()
    await log.groups()
    times.push(performance.now() - startedAt)
  }
  return median(times)
}

/** As if their worker had taken them all and died. */
async function deliverAll(redis: RedisAddress, log: Log, entries: number): Promise<void> {
  const client = new Redis({ ...redis })
  const stream = logParts(log).keys.partitions[0]!.log
  for (let left = entries; left > 0; left -= deliveredPerRead) {
    await client.xreadgroup('GROUP', group, consumer, 'COUNT', deliveredPerRead, 'STREAMS', stream, '>')
  }
  client.disconnect()
}
