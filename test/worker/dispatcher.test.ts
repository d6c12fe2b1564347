import { compareStamps, type Change, type Stamp } from '@headwater/core'
import { changeBuilder, notes } from '@headwater/conformance'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Batch } from '../../packages/core/src/change/batch.ts'
import { Dispatcher, type Run } from '../../packages/core/src/worker/dispatcher.ts'
import { givenSeed } from '../support/seed.ts'

const parameters = givenSeed === undefined ? {} : { seed: givenSeed }

interface PlannedChange {
  readonly key: string
  /** Of the sink's collection, or of another one that shares the log. */
  readonly ours: boolean
  /** The sink will never take it. */
  readonly poison: boolean
}

/** What happens next; a number chooses among the runs that are at the sink. */
type Move =
  | { readonly kind: 'push' }
  | { readonly kind: 'take'; readonly count: number; readonly size: number }
  | { readonly kind: 'answer'; readonly which: number }
  | { readonly kind: 'not now'; readonly which: number }

const plannedChange: fc.Arbitrary<PlannedChange> = fc.record({
  key: fc.constantFrom('a', 'b', 'c', 'd'),
  ours: fc.nat(9).map((one) => one > 1),
  poison: fc.nat(9).map((one) => one === 0),
})
const plan = fc.array(fc.array(plannedChange, { minLength: 1, maxLength: 6 }), {
  minLength: 1,
  maxLength: 12,
})
const move: fc.Arbitrary<Move> = fc.oneof(
  fc.constant<Move>({ kind: 'push' }),
  fc.record({
    kind: fc.constant('take' as const),
    count: fc.integer({ min: 1, max: 5 }),
    size: fc.integer({ min: 1, max: 200 }),
  }),
  fc.record({ kind: fc.constant('answer' as const), which: fc.nat(9) }),
  fc.record({ kind: fc.constant('not now' as const), which: fc.nat(9) }),
)
const journey = fc.record({ plan, moves: fc.array(move, { maxLength: 80 }), coalesce: fc.boolean() })

describe('dispatching the changes of a partition', () => {
  it('applies the changes of one key in order, one at a time', () => {
    fc.assert(
      fc.property(journey, (journey) => {
        const { applied } = travel(journey)
        for (const stamps of byKey(applied).values()) {
          const newer = stamps.filter((stamp, at) => at === 0 || compareStamps(stamp, stamps[at - 1]!) > 0)
          expect(newer).toEqual(stamps)
        }
      }),
      parameters,
    )
  })

  it('applies, supersedes or sets aside every change, and nothing else', () => {
    fc.assert(
      fc.property(journey, (journey) => {
        const { batches, applied, superseded, parked } = travel(journey)
        const ours = batches
          .flatMap(({ changes }) => changes)
          .filter(({ collection }) => collection === 'notes')
        const done = [...applied, ...superseded, ...parked].map(({ stamp }) => stamp.sequence)
        expect(done.toSorted((a, b) => a - b)).toEqual(ours.map(({ stamp }) => stamp.sequence))
      }),
      parameters,
    )
  })

  it('supersedes only where it may, and only by a newer change of the key that was applied', () => {
    fc.assert(
      fc.property(journey, (journey) => {
        const { applied, superseded } = travel(journey)
        expect(journey.coalesce ? [] : superseded).toEqual([])
        const newest = byKey(applied)
        for (const { key, stamp } of superseded)
          expect(newest.get(key)?.some((other) => compareStamps(other, stamp) > 0)).toBe(true)
      }),
      parameters,
    )
  })

  it('sets a key aside from its first change that the sink rejects, and no change before it', () => {
    fc.assert(
      fc.property(journey, (journey) => {
        const { applied, parked, poisons } = travel(journey)
        const aside = byKey(parked)
        for (const [key, stamps] of aside) {
          expect(poisons.has(stamps[0]!.sequence)).toBe(true)
          const later = applied.filter(
            (change) => change.key === key && compareStamps(change.stamp, stamps[0]!) > 0,
          )
          expect(later).toEqual([])
        }
        expect(applied.filter(({ stamp }) => poisons.has(stamp.sequence))).toEqual([])
      }),
      parameters,
    )
  })

  it('says at every moment how far everything is done, and which entries are', () => {
    fc.assert(
      fc.property(journey, (journey) => {
        for (const { said, counted } of travel(journey).moments) expect(said).toEqual(counted)
      }),
      parameters,
    )
  })

  it('never gives more than asked for, unless a single change is larger', () => {
    fc.assert(
      fc.property(journey, (journey) => {
        for (const { runs, count, size } of travel(journey).takes) {
          expect(runs.length).toBeLessThanOrEqual(count)
          expect(new Set(runs.map(({ change }) => change.key)).size).toBe(runs.length)
          const taken = runs.reduce((sum, { change }) => sum + change.key.length + change.payload.length, 0)
          expect(runs.length <= 1 || taken <= size).toBe(true)
        }
      }),
      parameters,
    )
  })

  it('does not enter a new epoch before a change of it is done', () => {
    const builder = changeBuilder({ collection: notes })
    const old = batchOf([builder.put({ id: 'a', content: 1 })])
    const next = batchOf([builder.fork(1).put({ id: 'a', content: 2 })])
    const dispatcher = new Dispatcher({
      collection: 'notes',
      coalesce: false,
      start: { epoch: 0, sequence: 0 },
    })
    dispatcher.push(old, 0)
    dispatcher.push(next, 0)
    dispatcher.settle(dispatcher.take(1, 100)[0]!)
    expect(dispatcher.checkpoint).toEqual({ epoch: 1, sequence: 1 })
    dispatcher.settle(dispatcher.take(1, 100)[0]!)
    expect(dispatcher.checkpoint).toEqual({ epoch: 2, sequence: 2 })
  })

  it('counts the changes of a batch that were done before as done', () => {
    const builder = changeBuilder({ collection: notes })
    const batch = batchOf([1, 2, 3].map((content) => builder.put({ id: `${content}`, content })))
    const dispatcher = new Dispatcher({
      collection: 'notes',
      coalesce: true,
      start: { epoch: 1, sequence: 2 },
    })
    dispatcher.push(batch, 2)
    expect(dispatcher.waiting).toBe(1)
    const [run] = dispatcher.take(9, 999)
    expect(run!.change.key).toBe('3')
    dispatcher.settle(run!)
    expect(dispatcher.checkpoint).toEqual({ epoch: 1, sequence: 3 })
    expect(dispatcher.takeFinished()).toEqual(['1-3'])
  })
})

interface Travelled {
  readonly batches: readonly Batch[]
  readonly poisons: ReadonlySet<number>
  /** In the order in which the sink took them. */
  readonly applied: readonly Change[]
  readonly superseded: readonly Change[]
  readonly parked: readonly Change[]
  readonly takes: readonly { readonly runs: readonly Run[]; readonly count: number; readonly size: number }[]
  /** What the dispatcher said after each move, and what a full count says. */
  readonly moments: readonly { readonly said: unknown; readonly counted: unknown }[]
}

/** Sends a plan through a dispatcher, move by move, and then to its end. */
function travel({
  plan,
  moves,
  coalesce,
}: {
  plan: PlannedChange[][]
  moves: Move[]
  coalesce: boolean
}): Travelled {
  const builder = changeBuilder({ collection: notes })
  const poisons = new Set<number>()
  const batches = plan.map((changes) =>
    batchOf(
      changes.map(({ key, ours, poison }) => {
        const change = builder.put({ id: key, content: key.repeat(key.charCodeAt(0) % 7) })
        if (poison && ours) poisons.add(change.stamp.sequence)
        return ours ? change : { ...change, collection: 'others' }
      }),
    ),
  )
  const dispatcher = new Dispatcher({ collection: 'notes', coalesce, start: { epoch: 0, sequence: 0 } })
  const applied: Change[] = []
  const superseded: Change[] = []
  const parked: Change[] = []
  const takes: { runs: Run[]; count: number; size: number }[] = []
  const moments: { said: unknown; counted: unknown }[] = []
  const finished: string[] = []
  const done = new Set<number>()
  const aside = new Set<string>()
  let pushed = 0
  let atSink: Run[] = []

  /** The changes that a run stands for: those of its key up to its own that are not done. */
  const changesOf = ({ change }: Run): Change[] =>
    batches
      .slice(0, pushed)
      .flatMap(({ changes }) => changes)
      .filter(
        ({ collection, key, stamp }) =>
          collection === 'notes' &&
          key === change.key &&
          !done.has(stamp.sequence) &&
          compareStamps(stamp, change.stamp) <= 0,
      )
  const finish = (changes: readonly Change[]): void => {
    for (const { stamp } of changes) done.add(stamp.sequence)
  }
  const answer = (run: Run): void => {
    const changes = changesOf(run)
    expect(changes).toHaveLength(run.count)
    if (aside.has(run.change.key)) {
      const rejected = dispatcher.divert(run)
      parked.push(...rejected.changes)
      finish(rejected.changes)
      return dispatcher.parked(rejected)
    }
    if (!poisons.has(run.change.stamp.sequence)) {
      applied.push(run.change)
      superseded.push(...changes.slice(0, -1))
      finish(changes)
      return dispatcher.settle(run)
    }
    const rejected = dispatcher.reject(run)
    if (!rejected) return
    aside.add(run.change.key)
    parked.push(...rejected.changes)
    finish(rejected.changes)
    dispatcher.parked(rejected)
  }
  const take = (count: number, size: number): void => {
    const runs = dispatcher.take(count, size)
    takes.push({ runs, count, size })
    const busy = new Set(atSink.map(({ change }) => change.key))
    expect(runs.filter(({ change }) => busy.has(change.key))).toEqual([])
    atSink.push(...runs)
  }
  const step = (move: Move): void => {
    const run = 'which' in move ? atSink[move.which % Math.max(1, atSink.length)] : undefined
    switch (move.kind) {
      case 'push':
        if (pushed < batches.length) dispatcher.push(batches[pushed++]!, 0)
        break
      case 'take':
        take(move.count, move.size)
        break
      case 'answer':
        if (!run) break
        atSink = atSink.filter((other) => other !== run)
        answer(run)
        break
      case 'not now':
        if (!run) break
        atSink = atSink.filter((other) => other !== run)
        dispatcher.postpone(run)
        dispatcher.resume(run)
    }
    finished.push(...dispatcher.takeFinished())
    moments.push({
      said: {
        checkpoint: dispatcher.checkpoint,
        finished: [...finished],
        waiting: dispatcher.waiting,
        size: dispatcher.size,
      },
      counted: count(batches.slice(0, pushed), done),
    })
  }

  for (const move of moves) step(move)
  while (pushed < batches.length) step({ kind: 'push' })
  while (dispatcher.waiting > 0) {
    step({ kind: 'take', count: 3, size: 50 })
    step({ kind: 'answer', which: 0 })
  }
  return { batches, poisons, applied, superseded, parked, takes, moments }
}

/** What a dispatcher has to say when these changes are done. */
function count(batches: readonly Batch[], done: ReadonlySet<number>): unknown {
  const isDone = ({ collection, stamp }: Change): boolean =>
    collection !== 'notes' || done.has(stamp.sequence)
  const changes = batches.flatMap((batch) => batch.changes)
  const firstOpen = changes.findIndex((change) => !isDone(change))
  const prefix = firstOpen === -1 ? changes.length : firstOpen
  const whole = batches.filter(({ last }) => last <= prefix)
  return {
    checkpoint: prefix === 0 ? { epoch: 0, sequence: 0 } : changes[prefix - 1]!.stamp,
    finished: whole.map(({ id }) => id),
    waiting: changes.filter((change) => !isDone(change)).length,
    size: batches.slice(whole.length).reduce((sum, { size }) => sum + size, 0),
  }
}

function batchOf(changes: readonly Change[]): Batch {
  const [first, last] = [changes[0]!.stamp, changes.at(-1)!.stamp]
  return {
    partition: 0,
    id: `${last.epoch}-${last.sequence}`,
    epoch: last.epoch,
    first: first.sequence,
    last: last.sequence,
    time: 0,
    size: changes.reduce((sum, { key, payload }) => sum + key.length + payload.length, 0),
    changes,
  }
}

function byKey(changes: readonly Change[]): Map<string, Stamp[]> {
  const stamps = new Map<string, Stamp[]>()
  for (const { key, stamp } of changes) stamps.set(key, [...(stamps.get(key) ?? []), stamp])
  return stamps
}
