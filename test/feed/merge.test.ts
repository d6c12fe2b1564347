import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Batch } from '../../packages/core/src/change/batch.ts'
import type { Change } from '../../packages/core/src/change/change.ts'
import type { Stamp } from '../../packages/core/src/change/stamp.ts'
import { PartitionMerge } from '../../packages/core/src/feed/merge.ts'
import type { Header } from '../../packages/core/src/log/header.ts'
import { givenSeed } from '../support/seed.ts'

/** A change of a made-up history: a key of the collection that is followed, or of another one. */
interface Draft {
  readonly key: string
  readonly kind: 'put' | 'delete'
  readonly ours: boolean
}

/** What reaches a subscriber next: a batch by pub/sub, whenever and however often, or one that it reads from the log. */
type Arrival = { readonly heard: number } | 'read'

interface History {
  readonly batches: readonly Batch[]
  readonly header: Header
}

/** Batches of these sizes; at each of the indexes in `epochs` a new epoch begins, which inherits everything. */
function historyOf(sizes: readonly (readonly Draft[])[], epochs: ReadonlySet<number>): History {
  const batches: Batch[] = []
  const inherited = new Map([[1, { inherited: 0, branch: 'a' }]])
  let [epoch, sequence] = [1, 0]
  for (const [index, drafts] of sizes.entries()) {
    if (epochs.has(index)) inherited.set(++epoch, { inherited: sequence, branch: 'a' })
    const first = sequence + 1
    const changes = drafts.map(
      ({ key, kind, ours }) =>
        ({
          collection: ours ? 'ours' : 'theirs',
          key,
          kind,
          stamp: { epoch, sequence: ++sequence },
        }) as Change,
    )
    const id = `${epoch}-${sequence}`
    batches.push({ partition: 0, id, epoch, first, last: sequence, time: 0, size: 0, changes })
  }
  return { batches, header: { epoch, sequence, trimmed: 0, epochs: inherited } }
}

const sequencesOf = (changes: readonly { readonly stamp: Stamp }[]): number[] =>
  changes.map(({ stamp }) => stamp.sequence)

/**
 * Follows a history from the end of batch `start`, with a snapshot whose row of each key is read after as many batches as
 * `rowsAt` says, and then with these arrivals. In the end the rest is read from the log, as a subscriber does.
 */
function follow(
  { batches, header }: History,
  start: number,
  rowsAt: ReadonlyMap<string, number> | undefined,
  arrivals: readonly Arrival[],
): { readonly rows: Change[]; readonly given: Change[] } {
  const from = start === 0 ? { epoch: 1, sequence: 0 } : stampOf(batches[start - 1]!)
  const merge = new PartitionMerge('ours', from)
  const rows: Change[] = []
  for (const [key, at] of rowsAt ?? []) {
    const latest = changesOf(batches.slice(0, Math.max(start, at)), key).at(-1)
    if (latest?.kind !== 'put') continue
    merge.row(key, latest.stamp)
    rows.push(latest)
  }
  const given: Change[] = []
  const take = (batch: Batch): string => {
    const taken = merge.take(batch, header)
    if (taken.kind === 'changes') given.push(...taken.changes)
    return taken.kind
  }
  const readNext = (): boolean => {
    const next = batches.find(({ last }) => last > merge.last.sequence)
    return next !== undefined && take(next) === 'changes'
  }
  for (const arrival of arrivals) {
    if (arrival === 'read') readNext()
    else take(batches[arrival.heard % batches.length]!)
  }
  while (readNext());
  expect(merge.last.sequence).toBe(header.sequence)
  return { rows, given }
}

const stampOf = ({ epoch, last }: Batch): Stamp => ({ epoch, sequence: last })
const changesOf = (batches: readonly Batch[], key: string): Change[] =>
  batches
    .flatMap(({ changes }) => changes)
    .filter((change) => change.collection === 'ours' && change.key === key)

/** What a subscriber is owed: of each key its row, and every change of it that came later. */
function expectOwed(
  history: History,
  start: number,
  rowsAt: ReadonlyMap<string, number> | undefined,
  { rows, given }: { readonly rows: readonly Change[]; readonly given: readonly Change[] },
): void {
  const rowOf = new Map(rows.map((row) => [row.key, row.stamp.sequence]))
  const begin = start === 0 ? 0 : history.batches[start - 1]!.last
  const owed = history.batches
    .flatMap(({ changes }) => changes)
    .filter(
      ({ collection, key, stamp }) =>
        collection === 'ours' && stamp.sequence > Math.max(begin, rowOf.get(key) ?? 0),
    )
  expect(sequencesOf(given)).toEqual(sequencesOf(owed))
  if (!rowsAt) return
  const held = new Map<string, number>()
  for (const { key, kind, stamp } of [...rows, ...given]) {
    if (kind === 'put') held.set(key, stamp.sequence)
    else held.delete(key)
  }
  const keys = new Set(history.batches.flatMap(({ changes }) => changes.map(({ key }) => key)))
  const present = [...keys].flatMap((key) => {
    const last = changesOf(history.batches, key).at(-1)
    return last?.kind === 'put' ? ([[key, last.stamp.sequence]] as const) : []
  })
  expect(Object.fromEntries(held)).toEqual(Object.fromEntries(present))
}

const put = (key: string): Draft => ({ key, kind: 'put', ours: true })
const drop = (key: string): Draft => ({ key, kind: 'delete', ours: true })

describe('the merge of snapshot, log and pub/sub', () => {
  it('gives every change once and in order, in every interleaving of a small history', () => {
    const history = historyOf([[put('a'), put('b')], [drop('a'), put('b')], [put('a')]], new Set([2]))
    const arrivals: Arrival[] = [{ heard: 0 }, { heard: 1 }, { heard: 2 }, 'read']
    let followed = 0
    for (const schedule of sequences(arrivals, 4)) {
      for (let start = 0; start <= 3; start++) {
        for (const rowsAt of rowTimes(3)) {
          expectOwed(history, start, rowsAt, follow(history, start, rowsAt, schedule))
          followed++
        }
      }
    }
    expect(followed).toBe(341 * 4 * 17)
  })

  it('does so for long histories with epochs, other collections, losses, repetitions and delays', () => {
    const draft = fc.record<Draft>({
      key: fc.constantFrom('a', 'b', 'c', 'd'),
      kind: fc.constantFrom('put', 'put', 'delete'),
      ours: fc.boolean(),
    })
    const arrival: fc.Arbitrary<Arrival> = fc.oneof(
      fc.record({ heard: fc.nat(40) }),
      fc.constant('read' as const),
    )
    const property = fc.property(
      fc.array(fc.array(draft, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 30 }),
      fc.array(fc.nat(30), { maxLength: 3 }),
      fc.nat(30),
      fc.option(fc.array(fc.nat(30), { minLength: 4, maxLength: 4 }), { nil: undefined }),
      fc.array(arrival, { maxLength: 60 }),
      (drafts, epochs, begin, times, arrivals) => {
        const history = historyOf(drafts, new Set(epochs.filter((at) => at > 0)))
        const start = begin % (drafts.length + 1)
        const rowsAt = times && new Map(['a', 'b', 'c', 'd'].map((key, at) => [key, times[at]!]))
        expectOwed(history, start, rowsAt, follow(history, start, rowsAt, arrivals))
      },
    )
    const options = { numRuns: 3_000, ...(givenSeed !== undefined && { seed: givenSeed }) }
    expect(() => fc.assert(property, options)).not.toThrow()
  })

  it('tells that given changes were lost, whether they came as changes or as rows', () => {
    const { batches } = historyOf([[put('a')], [put('b')], [put('c')]], new Set())
    const header: Header = {
      epoch: 2,
      sequence: 3,
      trimmed: 0,
      epochs: new Map([
        [1, { inherited: 0, branch: 'a' }],
        [2, { inherited: 1, branch: 'b' }],
      ]),
    }
    const newer: Batch = { ...batches[1]!, id: '2-2', epoch: 2 }
    const told = new PartitionMerge('ours', { epoch: 1, sequence: 0 })
    told.take(batches[0]!)
    expect(told.take(newer, header).kind).toBe('changes')

    const ahead = new PartitionMerge('ours', { epoch: 1, sequence: 0 })
    ahead.take(batches[0]!)
    ahead.take(batches[1]!)
    expect(ahead.take(newer).kind).toBe('unknown-epoch')
    expect(ahead.take(newer, header).kind).toBe('lost')

    const row = new PartitionMerge('ours', { epoch: 1, sequence: 1 })
    row.row('c', { epoch: 1, sequence: 3 })
    expect(row.take(newer, header).kind).toBe('lost')
  })
})

/** Every sequence of at most `length` of these, the empty one included. */
function* sequences<T>(items: readonly T[], length: number): Generator<T[]> {
  yield []
  if (length === 0) return
  for (const rest of sequences(items, length - 1)) for (const item of items) yield [item, ...rest]
}

/** No snapshot, or one whose two rows are read after each number of batches. */
function* rowTimes(batches: number): Generator<Map<string, number> | undefined> {
  yield undefined
  for (let a = 0; a <= batches; a++) {
    for (let b = 0; b <= batches; b++)
      yield new Map([
        ['a', a],
        ['b', b],
      ])
  }
}
