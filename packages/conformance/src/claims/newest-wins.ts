import type { Change } from '@headwater/core'
import * as fc from 'fast-check'
import { aBook, books } from '../books.ts'
import { changeBuilder } from '../change-builder.ts'
import type { SinkClaim } from '../sink-claim.ts'
import type { SinkHarness } from '../sink-harness.ts'
import { Trial } from '../trial.ts'

export const newestWinsClaims: readonly SinkClaim[] = [
  {
    claim: 'answers stale to a duplicate and changes nothing, whatever it carries',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const partition = await trial.open()
        const atlas = log.put(aBook('atlas'))
        const novel = log.delete('novel')
        await trial.deliver(partition, [atlas, novel])
        await trial.deliver(partition, [atlas, novel])
        await trial.deliver(partition, [log.put(aBook('atlas', { title: 'Forged' }), atlas.stamp)])
        await trial.deliver(partition, [log.put(aBook('novel', { title: 'Forged' }), novel.stamp)])
        await trial.deliver(partition, [log.delete('atlas', atlas.stamp)])
        await trial.expectModel()
      }),
  },
  {
    claim: 'stays as it is when everything is delivered again from the beginning, also by another process',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const history = [
          log.put(aBook('atlas')),
          log.put(aBook('novel')),
          log.put(aBook('atlas', { pages: 300 })),
          log.delete('novel'),
          log.put(aBook('poems')),
        ]
        const partition = await trial.open()
        for (const change of history) await trial.deliver(partition, [change])
        for (const change of history) await trial.deliver(partition, [change])
        const successor = await trial.open({ sink: await trial.another() })
        for (const change of history) await trial.deliver(successor, [change])
        await trial.expectModel()
      }),
  },
  {
    claim: 'never goes back to an older state of a key, whichever process brings it',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const [older, newer] = [log.put(aBook('atlas', { pages: 1 })), log.put(aBook('atlas', { pages: 2 }))]
        const partition = await trial.open()
        await trial.deliver(partition, [newer])
        await trial.deliver(partition, [older])
        const successor = await trial.open({ sink: await trial.another() })
        await trial.deliver(successor, [older])
        await trial.expectModel()
      }),
  },
  {
    claim: 'remembers deleted keys, so that an older put cannot bring them back, whichever process brings it',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const atlas = log.put(aBook('atlas'))
        const puts = [atlas, log.put(aBook('novel'))]
        const deletes = ['atlas', 'novel'].map((key) => log.delete(key))
        const partition = await trial.open()
        await trial.deliver(partition, [atlas])
        await trial.deliver(partition, deletes)
        await trial.deliver(partition, puts)
        const successor = await trial.open({ sink: await trial.another() })
        await trial.deliver(successor, puts)
        await trial.expectModel()
      }),
  },
  {
    claim: 'lets a later epoch win with whatever versions and sequences it has',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const shared = [log.put(aBook('atlas')), log.put(aBook('novel'))]
        const lost = [
          log.put(aBook('atlas', { title: 'Lost' })),
          log.put(aBook('atlas', { title: 'Lost again' })),
          log.delete('novel'),
          log.put(aBook('novel', { title: 'Lost' })),
          log.put(aBook('poems', { title: 'Lost' })),
        ]
        const survivor = log.fork(2)
        const survived = [
          survivor.put(aBook('novel', { title: 'Kept' })),
          survivor.put(aBook('atlas', { title: 'Kept' })),
          survivor.delete('poems'),
        ]
        const partition = await trial.open()
        for (const change of [...shared, ...lost]) await trial.deliver(partition, [change])
        const successor = await trial.open({ fence: { epoch: 2, token: 1, owner: 'successor' } })
        await trial.deliver(successor, survived)
        for (const change of [...shared, ...lost]) await trial.deliver(successor, [change])
        await trial.expectModel()
      }),
  },
  {
    claim: 'compares stamps as numbers, up to the ends of their ranges',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const partition = await trial.open()
        const ends = [
          log.put(aBook('novel'), { sequence: 1, hash: 1n }),
          log.delete('poems', { sequence: 2 }),
        ]
        await trial.deliver(partition, ends)
        const [epochMax, sequenceMax] = [2 ** 48 - 1, 2 ** 48 - 1]
        const rising = [
          [1, 9],
          [1, 10],
          [1, 100],
          [1, sequenceMax - 1],
          [1, sequenceMax],
          [2, 1],
          [9, 5],
          [10, 4],
          [epochMax - 1, sequenceMax],
          [epochMax, 1],
          [epochMax, sequenceMax - 1],
          [epochMax, sequenceMax],
        ] as const
        const changes = rising.map(([epoch, sequence], index) =>
          log.put(aBook('atlas', { pages: index }), {
            epoch,
            sequence,
            hash: 2n ** 63n - 1n - BigInt(index),
          }),
        )
        let older: Change[] = []
        for (const change of changes) {
          await trial.deliver(partition, [change])
          if (older.length > 0) await trial.deliver(partition, older)
          older = [change]
        }
        await trial.expectModel()
      }),
  },
  {
    claim: 'ends in the same state whatever is delivered again, late, out of order or by another process',
    run: (harness) =>
      fc.assert(
        fc.asyncProperty(histories, (history) => deliverHistory(harness, history)),
        { numRuns: harness.runs ?? 20, endOnFailure: true },
      ),
  },
]

interface History {
  /** Puts and deletes in the order of the log; a `fork` loses that many changes before it. */
  readonly steps: readonly { readonly key: string; readonly kind: 'put' | 'delete' | 'fork' }[]
  /** Which part of the log is delivered, by which of two processes, and in the order of which shuffle. */
  readonly deliveries: readonly {
    readonly from: number
    readonly count: number
    readonly reversed: boolean
    readonly takeover: boolean
  }[]
}

const histories: fc.Arbitrary<History> = fc.record({
  steps: fc.array(
    fc.record({
      key: fc.constantFrom('a', 'b', 'c', 'd'),
      kind: fc.oneof(
        { weight: 6, arbitrary: fc.constant('put' as const) },
        { weight: 3, arbitrary: fc.constant('delete' as const) },
        { weight: 1, arbitrary: fc.constant('fork' as const) },
      ),
    }),
    { minLength: 1, maxLength: 24 },
  ),
  deliveries: fc.array(
    fc.record({
      from: fc.nat(23),
      count: fc.integer({ min: 1, max: 8 }),
      reversed: fc.boolean(),
      takeover: fc.boolean(),
    }),
    { maxLength: 12 },
  ),
})

function deliverHistory(harness: SinkHarness, { steps, deliveries }: History): Promise<void> {
  return Trial.run(harness, books, async (trial) => {
    const changes = changesOf(steps)
    const sinks = [trial.sink, await trial.another()]
    let turn = 0
    let partition = await trial.open({ sink: sinks[0] })
    for (const { from, count, reversed, takeover } of deliveries) {
      if (takeover) partition = await trial.open({ sink: sinks[++turn % 2] })
      const part = changes.slice(from, from + count)
      if (reversed) part.reverse()
      const batch = oncePerKey(part)
      if (batch.length > 0) await trial.deliver(partition, batch)
    }
    for (const change of changes) await trial.deliver(partition, [change])
    await trial.expectModel()
  })
}

function changesOf(steps: History['steps']): Change[] {
  let log = changeBuilder({ collection: books })
  return steps.flatMap(({ key, kind }, index) => {
    if (kind === 'put') return log.put(aBook(key, { pages: index }))
    if (kind === 'delete') return log.delete(key)
    log = log.fork(Math.max(0, index - 3))
    return []
  })
}

/** A batch has one change a key: the last one here, as if those before it had been coalesced into it. */
function oncePerKey(changes: readonly Change[]): Change[] {
  return [...new Map(changes.map((change) => [change.key, change])).values()]
}
