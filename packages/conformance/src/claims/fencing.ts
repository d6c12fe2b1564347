import assert from 'node:assert/strict'
import { isHeadwaterError, type Fence } from '@headwater/core'
import { aBook, books } from '../books.ts'
import { changeBuilder } from '../change-builder.ts'
import { expectRefusal } from '../expect-refusal.ts'
import type { SinkClaim } from '../sink-claim.ts'
import { apply, Trial } from '../trial.ts'

export const fencingClaims: readonly SinkClaim[] = [
  {
    claim: 'refuses apply and advance of a worker whose partition was opened by another since',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const position = { epoch: 1, sequence: 1, branch: 'a' }
        const zombie = await trial.open()
        await trial.deliver(zombie, [log.put(aBook('atlas'))], position)
        const owner = await trial.open({ sink: await trial.another() })
        const late = [log.put(aBook('novel')), log.delete('atlas')]
        await expectRefusal('SINK_FENCED', apply(zombie, late, { ...position, sequence: 2 }))
        await expectRefusal('SINK_FENCED', zombie.advance({ ...position, sequence: 3 }))
        await trial.expectModel()
        await trial.deliver(owner, late, position)
        await trial.expectModel()
        assert.deepEqual((await trial.open()).position, position)
      }),
  },
  {
    claim: 'refuses to open with an older fence than the stored one, by epoch and then by token, as numbers',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const rising = [fence(1, 9), fence(1, 10), fence(1, 1_000), fence(2, 1), fence(9, 3), fence(10, 2)]
        for (const [index, newer] of rising.entries()) {
          const owner = await trial.open({ fence: newer })
          for (const older of rising.slice(0, index)) {
            await expectRefusal('SINK_FENCED', trial.open({ fence: older, sink: await trial.another() }))
          }
          await trial.deliver(owner, [log.put(aBook('atlas', { pages: index }))])
        }
        await trial.expectModel()
      }),
  },
  {
    claim: 'refuses to open with an equal token of another owner',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const owner = await trial.open({ fence: { epoch: 1, token: 7, owner: 'first' } })
        const rival = { epoch: 1, token: 7, owner: 'second' }
        await expectRefusal('SINK_FENCED', trial.open({ fence: rival, sink: await trial.another() }))
        await trial.deliver(owner, [log.put(aBook('atlas'))])
        await trial.expectModel()
      }),
  },
  {
    claim: 'opens again for the same owner with the same fence, where it left off',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const fence = trial.nextFence()
        const before = await trial.open({ fence })
        await trial.deliver(before, [log.put(aBook('atlas'))], { epoch: 1, sequence: 1, branch: 'a' })
        await before.close()
        const after = await trial.open({ fence, sink: await trial.another() })
        assert.deepEqual(after.position, { epoch: 1, sequence: 1, branch: 'a' })
        await trial.deliver(after, [log.put(aBook('novel'))])
        await trial.expectModel()
      }),
  },
  {
    claim: 'keeps the fences of partitions and of groups apart',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const [left, right] = [
          changeBuilder({ collection: books }),
          changeBuilder({ collection: books, partition: 1 }),
        ]
        const first = await trial.open({ partition: 0, group: 'copy', fence: fence(1, 30) })
        const second = await trial.open({ partition: 1, group: 'copy', fence: fence(1, 20) })
        const third = await trial.open({ partition: 0, group: 'other', fence: fence(1, 10) })
        await trial.deliver(first, [left.put(aBook('atlas'))])
        await trial.deliver(second, [right.put(aBook('novel'))])
        await trial.deliver(third, [left.put(aBook('poems'))])
        await trial.deliver(first, [left.delete('atlas')])
        await trial.expectModel()
      }),
  },
  {
    claim: 'writes its fence before it reads the position, so that no late position slips between',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const sinks = [trial.sink, await trial.another()]
        let owner = await trial.open()
        for (let round = 1; round <= 30; round++) {
          const position = { epoch: 1, sequence: round, branch: 'a' }
          const store = () =>
            round % 3 === 0 ? apply(owner, [log.put(aBook('atlas'))], position) : owner.advance(position)
          const [stored, opened] = await Promise.allSettled([store(), trial.open({ sink: sinks[round % 2] })])
          if (opened.status === 'rejected') throw opened.reason
          owner = opened.value
          if (stored.status === 'fulfilled') assert.deepEqual(owner.position, position)
          else assert.ok(isHeadwaterError(stored.reason, 'SINK_FENCED'), String(stored.reason))
        }
      }),
  },
]

function fence(epoch: number, token: number): Fence {
  return { epoch, token, owner: `worker-${epoch}-${token}` }
}
