import { changeBuilder, notes } from '@headwater/conformance'
import { compareStamps, type Change, type Stamp } from '@headwater/core'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Batch } from '../../packages/core/src/change/batch.ts'
import type { Marker } from '../../packages/core/src/proof/marker.ts'
import { Dispatcher, type Run } from '../../packages/core/src/worker/dispatcher.ts'
import { givenSeed } from '../support/seed.ts'

const parameters = givenSeed === undefined ? {} : { seed: givenSeed }

/** The keys of a batch, or a marker. */
const entry = fc.oneof(
  { weight: 3, arbitrary: fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 }) },
  { weight: 1, arbitrary: fc.constant('marker' as const) },
)
const move = fc.constantFrom('push', 'take', 'settle', 'not now', 'again', 'reject', 'release')
const journey = fc.record({
  plan: fc.array(entry, { minLength: 1, maxLength: 12 }),
  moves: fc.array(move, { maxLength: 80 }),
  coalesce: fc.boolean(),
})

describe('a marker among the changes of a partition', () => {
  it('is reached with everything before it done and nothing behind it handed out, or passed over for a retried key', () => {
    fc.assert(
      fc.property(journey, ({ plan, moves, coalesce }) => {
        const { batches, builder } = entriesOf(plan)
        const dispatcher = new Dispatcher({
          collection: notes.name,
          coalesce,
          start: { epoch: 0, sequence: 0 },
          barriers: true,
        })
        const undone = new Map<number, Change>()
        const atSink: Run[] = []
        const putOff: Run[] = []
        let newest: Stamp = { epoch: 0, sequence: 0 }
        let pushed = 0
        const broken: string[] = []
        const step = (move: string): void => {
          broken.push(...brokenBy(dispatcher, [...undone.values()], newest))
          if (move === 'push' && pushed < batches.length) {
            const batch = batches[pushed++]!
            for (const change of batch.changes) undone.set(change.stamp.sequence, change)
            dispatcher.push(batch, 0)
          } else if (move === 'take') {
            for (const run of dispatcher.take(2, 1_000)) {
              if (compareStamps(run.change.stamp, newest) > 0) newest = run.change.stamp
              atSink.push(run)
            }
          } else if (move === 'settle' && atSink.length > 0) {
            done(undone, atSink[0]!.change)
            dispatcher.settle(atSink.shift()!)
          } else if (move === 'not now' && atSink.length > 0) {
            putOff.push(atSink[0]!)
            dispatcher.postpone(atSink.shift()!)
          } else if (move === 'again' && putOff.length > 0) {
            dispatcher.resume(putOff.shift()!)
          } else if (move === 'reject' && atSink.length > 0) {
            const rejected = dispatcher.reject(atSink.shift()!)
            if (rejected) for (const change of rejected.changes) undone.delete(change.stamp.sequence)
            if (rejected) dispatcher.parked(rejected)
          } else if (move === 'release') {
            dispatcher.release()
          }
        }
        for (const one of moves) step(one)
        for (let round = 0; round < 200; round++) {
          for (const one of ['push', 'again', 'take', 'settle', 'release']) step(one)
        }
        expect(broken).toEqual([])
        expect(dispatcher.waiting).toBe(0)
        expect(dispatcher.size).toBe(0)
        expect(dispatcher.checkpoint.sequence).toBe(builder.last)
        expect(dispatcher.takeFinished()).toEqual(batches.map(({ id }) => id))
      }),
      parameters,
    )
  })

  it('holds nothing up where nobody asked for barriers', () => {
    const { batches } = entriesOf([['a'], 'marker', ['b']])
    const dispatcher = new Dispatcher({
      collection: notes.name,
      coalesce: true,
      start: { epoch: 0, sequence: 0 },
    })
    for (const batch of batches) dispatcher.push(batch, 0)
    expect(dispatcher.barrier).toBeUndefined()
    expect(dispatcher.take(9, 1_000).map(({ change }) => change.key)).toEqual(['a', 'b'])
  })
})

/** What is wrong at a marker that was reached. */
function brokenBy({ barrier, checkpoint }: Dispatcher, undone: readonly Change[], newest: Stamp): string[] {
  if (!barrier) return []
  const { stamp } = barrier
  const wrong: string[] = []
  if (undone.some((change) => compareStamps(change.stamp, stamp) < 0))
    wrong.push('something before it is not done')
  if (compareStamps(newest, stamp) > 0) wrong.push('something behind it was handed out')
  if (checkpoint.sequence >= stamp.sequence) wrong.push('it counts as done')
  return wrong
}

/** The run has taken with it what its key had waiting before. */
function done(undone: Map<number, Change>, { key, stamp }: Change): void {
  for (const change of undone.values()) {
    if (change.key === key && compareStamps(change.stamp, stamp) <= 0) undone.delete(change.stamp.sequence)
  }
}

function entriesOf(plan: readonly (readonly string[] | 'marker')[]): {
  batches: Batch[]
  builder: { last: number }
} {
  const builder = changeBuilder({ collection: notes })
  let last = 0
  const batches = plan.map((keys): Batch => {
    // A marker takes a sequence, as a change does.
    const changes = (keys === 'marker' ? ['m'] : keys).map((id) => builder.put({ id, content: 1 }))
    const first = last + 1
    last += changes.length
    const shared = { partition: 0, id: `1-${last}`, epoch: 1, first, last, time: 1, size: 10 }
    const marker: Marker = { partition: 0, stamp: { epoch: 1, sequence: last }, time: 1, sums: new Map() }
    return keys === 'marker' ? { ...shared, changes: [], marker } : { ...shared, changes }
  })
  return { batches, builder: { last } }
}
