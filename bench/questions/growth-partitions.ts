import { connect } from '@headwater/core'
import { measureSending } from '../src/measure-system.ts'
import { products } from '../src/product.ts'
import { scaled, type Question } from '../src/question.ts'
import { alternate, divide } from '../src/rounds.ts'
import { startServers } from '../src/servers.ts'
import type { System } from '../src/system.ts'
import { namespace } from '../src/worker-consumer.ts'
import { system as headwater } from '../systems/headwater.ts'

const inFlight = 16_000

export const growthPartitions: Question = {
  name: 'growth-partitions',
  asks: 'What do more partitions cost under saturating load?',
  async answer(bench) {
    await using servers = await startServers(headwater.needs)
    const load = { messages: scaled(200_000, bench), bytes: 100 }
    const measure = (partitions: number) => () =>
      measureSending(withPartitions(partitions), servers.addresses, load, { together: 1, inFlight })
    const rates = await alternate(
      bench.rounds,
      { at1: measure(1), at8: measure(8), at64: measure(64) },
      bench.progress.measured,
    )
    return {
      ratios: [
        { name: 'growth-partitions/append-at-8/1', values: divide(rates.at8, rates.at1) },
        {
          name: 'growth-partitions/append-at-64/1',
          bar: { atLeast: 0.9 },
          values: divide(rates.at64, rates.at1),
        },
      ],
      contenders: [
        `changes a second through append() from one process, ${inFlight.toLocaleString('en')} in flight, so that batches of 64 partitions are large too; values beside the log, JSON of 100 bytes`,
      ],
      versions: servers.versions,
    }
  },
}

function withPartitions(partitions: number): System {
  return {
    ...headwater,
    async reset(addresses) {
      await headwater.reset(addresses)
      const log = await connect({ ...addresses.redis }, { namespace, collections: [products], partitions })
      await log.close()
    },
  }
}
