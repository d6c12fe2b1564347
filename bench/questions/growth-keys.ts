import { Redis } from 'ioredis'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { measureSizes, sizeRatios } from '../src/measure-sizes.ts'
import { makeProduct, products } from '../src/product.ts'
import { scaled, type Question } from '../src/question.ts'
import { randomNumbers } from '../src/random.ts'
import type { RedisAddress } from '../src/raw-client.ts'
import { ScriptLog } from '../src/script-log.ts'
import { serverCpu } from '../src/server-cpu.ts'
import { growthChart } from '../src/sizes.ts'

const sizes = [10_000, 100_000, 1_000_000, 3_000_000]
const bytes = 100

export const growthKeys: Question = {
  name: 'growth-keys',
  asks: 'What does a change cost the server with more and more keys?',
  async answer(bench) {
    const random = randomNumbers(2)
    const changes = scaled(40_000, bench)
    const { costs, versions } = await measureSizes(bench, {
      sizes,
      async prepare(redis, keys) {
        const written = await ScriptLog.create(redis, products)
        await written.fill(everyProduct(keys))
        await emptyLog(redis, written)
        return {
          redis,
          keys,
          written,
          [Symbol.asyncDispose]: () => written[Symbol.asyncDispose](),
        }
      },
      async measure({ redis, keys, written }) {
        const writes = written.encode(Array.from({ length: changes }, () => makeProduct(random(keys), bytes)))
        return { append: (await serverCpu(redis, () => written.send(writes))) / changes }
      },
    })
    return {
      ratios: sizeRatios('growth-keys', costs, { append: { atMost: 1.5 } }),
      charts: [growthChart('growth-keys', 'A change, by the number of keys', 'keys', costs)],
      contenders: [
        'CPU time of the main thread of Redis for each change of random keys; append script, batches of 100, 8 partitions, values beside the log, JSON of 100 bytes; a server for each size, with an empty log at first',
      ],
      versions,
    }
  },
}

function* everyProduct(keys: number): Generator<ReturnType<typeof makeProduct>> {
  for (let key = 0; key < keys; key++) yield makeProduct(key, bytes)
}

/** So that nothing differs but the number of keys. */
async function emptyLog(redis: RedisAddress, { log }: ScriptLog): Promise<void> {
  const client = new Redis({ ...redis })
  for (const keys of logParts(log).keys.partitions) await client.xtrim(keys.log, 'MAXLEN', 0)
  client.disconnect()
}
