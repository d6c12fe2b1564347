import assert from 'node:assert/strict'
import { aBook, books } from '../books.ts'
import { changeBuilder } from '../change-builder.ts'
import { expectRefusal } from '../expect-refusal.ts'
import type { SinkClaim } from '../sink-claim.ts'
import { apply, Trial } from '../trial.ts'

export const lifetimeClaims: readonly SinkClaim[] = [
  {
    claim: 'prepares its target as often as it is asked, side by side, and keeps what is there',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const others = await Promise.all([trial.another(), trial.another()])
        await trial.deliver(await trial.open(), [log.put(aBook('atlas')), log.delete('novel')])
        await Promise.all([trial.sink, ...others].map(async (sink) => sink.prepare?.()))
        await trial.expectModel()
      }),
  },
  {
    claim: 'can be closed twice, passes nothing afterwards, and leaves the client open that it was given',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const partition = await trial.open()
        await trial.deliver(partition, [log.put(aBook('atlas'))])
        await partition.close()
        await partition.close()
        await expectRefusal('CLOSED', apply(partition, [log.put(aBook('novel'))]))
        await trial.target.sink.close()
        await trial.target.sink.close()
        await trial.sink.close()
        await expectRefusal('CLOSED', trial.open())
        assert.deepEqual([...(await trial.target.dump()).keys()], ['atlas'])
      }),
  },
]
