import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { fillLongLog } from '../src/long-log.ts'
import { measureSizes, sizeRatios } from '../src/measure-sizes.ts'
import { makeProduct, productKeys, products } from '../src/product.ts'
import { scaled, type Question } from '../src/question.ts'
import { randomNumbers } from '../src/random.ts'
import { encodeCommand, joinCommands } from '../src/raw-client.ts'
import { ScriptLog } from '../src/script-log.ts'
import { serverCpu } from '../src/server-cpu.ts'
import { growthChart } from '../src/sizes.ts'

const sizes = [100_000, 1_000_000, 10_000_000]
const bytes = 100
const entriesPerRead = 100

export const growthLog: Question = {
  name: 'growth-log',
  asks: 'What do appends and reads cost the server with a longer and longer log?',
  async answer(bench) {
    const random = randomNumbers(3)
    const changes = scaled(20_000, bench)
    const reads = scaled(2_000, bench, 10)
    const { costs, versions } = await measureSizes(bench, {
      sizes,
      async prepare(redis, entries) {
        await fillLongLog(redis, entries)
        const written = await ScriptLog.create(redis, products, 1)
        return {
          redis,
          entries,
          written,
          [Symbol.asyncDispose]: () => written[Symbol.asyncDispose](),
        }
      },
      async measure({ redis, entries, written }) {
        const appends = written.encode(
          Array.from({ length: changes }, () => makeProduct(random(productKeys), bytes)),
        )
        const { log } = logParts(written.log).keys.partitions[0]!
        const ranges = Array.from({ length: reads }, () =>
          encodeCommand(['XRANGE', log, `1-${random(entries)}`, '+', 'COUNT', entriesPerRead]),
        )
        return {
          append: (await serverCpu(redis, () => written.send(appends))) / changes,
          read: (await serverCpu(redis, () => written.send(joinCommands(ranges, 10)))) / reads,
        }
      },
    })
    return {
      ratios: sizeRatios('growth-log', costs, { append: { atMost: 1.1 }, read: { atMost: 1.1 } }),
      charts: [growthChart('growth-log', 'An append and a read, by the length of the log', 'entries', costs)],
      contenders: [
        `CPU time of the main thread of Redis; append: for each change, append script with batches of 100, one partition; read: for ${entriesPerRead} entries from a random place; the entries that were there before hold one change each; a server for each length`,
      ],
      versions,
    }
  },
}
