import { aBook, books } from '../books.ts'
import { changeBuilder } from '../change-builder.ts'
import type { SinkClaim } from '../sink-claim.ts'
import { Trial } from '../trial.ts'

export const replicaClaims: readonly SinkClaim[] = [
  {
    claim: "shows the user's own data after puts and deletes",
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const partition = await trial.open()
        await trial.deliver(partition, [
          log.put(aBook('atlas')),
          log.put(aBook('novel')),
          log.put(aBook('poems')),
        ])
        await trial.deliver(partition, [log.delete('novel'), log.put(aBook('essays'))])
        await trial.expectModel()
      }),
  },
  {
    claim: 'replaces the whole value with an update, optional members included',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const partition = await trial.open()
        const first = aBook('atlas', { series: 'Rivers', subtitle: 'of the world', tags: ['a', 'b', 'c'] })
        await trial.deliver(partition, [log.put(first)])
        await trial.expectModel()
        await trial.deliver(partition, [log.put(aBook('atlas', { title: 'Atlas', tags: [], weightKg: 2.5 }))])
        await trial.expectModel()
      }),
  },
  {
    claim: 'deletes a key that it never saw, and takes it when it comes back',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const partition = await trial.open()
        await trial.deliver(partition, [log.delete('atlas')])
        await trial.expectModel()
        await trial.deliver(partition, [log.put(aBook('atlas'))])
        await trial.expectModel()
        await trial.deliver(partition, [log.delete('atlas')])
        await trial.deliver(partition, [log.put(aBook('atlas', { pages: 1 }))])
        await trial.expectModel()
      }),
  },
]
