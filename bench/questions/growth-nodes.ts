import { emptyRedis } from '../src/empty-redis.ts'
import { makeProduct, productKeys, products } from '../src/product.ts'
import { scaled, type Question } from '../src/question.ts'
import { randomNumbers } from '../src/random.ts'
import type { RedisAddress } from '../src/raw-client.ts'
import { alternate, divide } from '../src/rounds.ts'
import { ScriptLog } from '../src/script-log.ts'
import { startServers } from '../src/servers.ts'

const bytes = 100
const partitions = 16

export const growthNodes: Question = {
  name: 'growth-nodes',
  asks: 'How much more do two Redis nodes take than one?',
  async answer(bench) {
    await using servers = await startServers(['redis', 'replica'])
    const { redis, replica } = servers.addresses
    const changes = scaled(200_000, bench)
    const rates = await alternate(
      bench.rounds,
      {
        one: () => measureNodes([redis], changes),
        two: () => measureNodes([redis, replica], changes),
      },
      bench.progress.measured,
    )
    return {
      ratios: [{ name: 'growth-nodes/two/one', bar: { atLeast: 1.8 }, values: divide(rates.two, rates.one) }],
      contenders: [
        `${partitions} partitions, on one server or half of them on each of two; append script, batches of 100, encoded beforehand and written from one process; values beside the log, JSON of 100 bytes`,
      ],
      versions: servers.versions,
    }
  },
}

/** Changes per second of all nodes together. */
async function measureNodes(nodes: readonly RedisAddress[], changes: number): Promise<number> {
  await emptyRedis(...nodes)
  const random = randomNumbers(4)
  const logs = await Promise.all(
    nodes.map((node) => ScriptLog.create(node, products, partitions / nodes.length)),
  )
  const loads = logs.map((log) => ({
    log,
    everyKey: log.encode(Array.from({ length: productKeys }, (_, key) => makeProduct(key, bytes))),
    writes: log.encode(
      Array.from({ length: changes / nodes.length }, () => makeProduct(random(productKeys), bytes)),
    ),
  }))
  await Promise.all(loads.map(({ log, everyKey }) => log.send(everyKey)))
  const startedAt = performance.now()
  await Promise.all(loads.map(({ log, writes }) => log.send(writes)))
  const seconds = (performance.now() - startedAt) / 1_000
  await Promise.all(logs.map((log) => log[Symbol.asyncDispose]()))
  return changes / seconds
}
