import assert from 'node:assert/strict'
import { aBook, books } from '../books.ts'
import { changeBuilder } from '../change-builder.ts'
import { expectRefusal } from '../expect-refusal.ts'
import type { SinkClaim } from '../sink-claim.ts'
import { Trial } from '../trial.ts'

const at = (sequence: number, epoch = 1) => ({ epoch, sequence, branch: 'abc123' })

export const positionClaims: readonly SinkClaim[] = [
  {
    claim:
      'stores the position with the changes, also when all of them are stale, and gives it back to the next owner',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const first = await trial.open()
        assert.equal(first.position, undefined)
        const change = log.put(aBook('atlas'))
        await trial.deliver(first, [change], at(4))
        const second = await trial.open({ sink: await trial.another() })
        assert.deepEqual(second.position, at(4))
        await trial.deliver(second, [change], at(5))
        assert.deepEqual((await trial.open()).position, at(5))
      }),
  },
  {
    claim: 'stores a position without changes',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        await (await trial.open()).advance(at(12))
        assert.deepEqual((await trial.open({ sink: await trial.another() })).position, at(12))
      }),
  },
  {
    claim: 'never moves the position back to an older stamp, since calls may overtake each other',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const partition = await trial.open()
        await partition.advance(at(10))
        await partition.advance(at(9))
        await partition.advance({ ...at(9), branch: 'def456' })
        await trial.deliver(partition, [log.put(aBook('atlas'))], at(2))
        const successor = await trial.open()
        assert.deepEqual(successor.position, at(10))
        await successor.advance(at(3, 2))
        await successor.advance(at(100, 1))
        await trial.deliver(successor, [log.put(aBook('atlas'))], at(200, 1))
        assert.deepEqual((await trial.open()).position, at(3, 2))
        await trial.expectModel()
      }),
  },
  {
    claim: 'keeps the positions of partitions and of groups apart',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const places = [
          { partition: 0, group: 'copy' },
          { partition: 1, group: 'copy' },
          { partition: 11, group: 'copy' },
          { partition: 1, group: 'copy1' },
          { partition: 0, group: 'other' },
        ]
        for (const [index, place] of places.entries()) {
          const partition = await trial.open(place)
          assert.equal(partition.position, undefined)
          await partition.advance(at(index + 1))
        }
        for (const [index, place] of places.entries()) {
          assert.deepEqual((await trial.open(place)).position, at(index + 1))
        }
      }),
  },
  {
    claim: 'holds positions up to the ends of their ranges',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const positions = [
          { epoch: 1, sequence: 9, branch: '' },
          { epoch: 1, sequence: 10, branch: '0123456789abcdef0123456789abcdef01234567' },
          { epoch: 1, sequence: 2 ** 48 - 1, branch: 'f' },
          { epoch: 2 ** 48 - 1, sequence: 2 ** 48 - 2, branch: '00' },
          { epoch: 2 ** 48 - 1, sequence: 2 ** 48 - 1, branch: '1e5' },
        ]
        for (const position of positions) {
          await (await trial.open()).advance(position)
          assert.deepEqual((await trial.open()).position, position)
        }
      }),
  },
  {
    claim: 'refuses to open a target that holds data of another log, since stamps of two logs have no order',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const owner = await trial.open({ lineage: 'log-1' })
        await trial.deliver(owner, [log.put(aBook('atlas'))])
        const stranger = await trial.another()
        const places = [{ partition: 0 }, { partition: 1 }, { partition: 0, group: 'other' }]
        for (const place of places) {
          await expectRefusal(
            'SINK_MISCONFIGURED',
            trial.open({ ...place, sink: stranger, lineage: 'log-2' }),
          )
        }
        await trial.deliver(owner, [log.put(aBook('novel'))])
        await trial.expectModel()
      }),
  },
]
