import {
  canonicalJson,
  checkQuorums,
  compareHybridTimes,
  HybridClock,
  mergeCounters,
  mergeLastWrites,
  mergeSets,
  mergeVersions,
  noVersions,
  weightOf,
  winnerOf,
  writeVersion,
  type CounterValue,
  type HybridTime,
  type LastWritesValue,
  type SetValue,
  type SiteVersion,
  type Versions,
} from '@headwater/core'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

/** What happens at one of the nodes: it writes, or it takes over what another node holds. */
type Step =
  | {
      readonly kind: 'write'
      readonly node: number
      readonly value: string | undefined
      readonly skewMs: number
    }
  | { readonly kind: 'meet'; readonly node: number; readonly other: number }

interface History {
  readonly nodes: number
  readonly weights: Readonly<Record<string, number>>
  readonly steps: readonly Step[]
}

const histories: fc.Arbitrary<History> = fc.integer({ min: 3, max: 7 }).chain((nodes) => {
  const node = fc.nat(nodes - 1)
  const value = fc.option(fc.constantFrom('a', 'b', 'c', 'd'), { nil: undefined, freq: 5 })
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      kind: fc.constant('write' as const),
      node,
      value,
      skewMs: fc.integer({ min: -900, max: 900 }),
    }),
    fc.record({ kind: fc.constant('meet' as const), node, other: node }),
  )
  return fc.record({
    nodes: fc.constant(nodes),
    weights: fc
      .array(fc.nat(4), { minLength: nodes, maxLength: nodes })
      .map((weights) => Object.fromEntries(weights.map((weight, at) => [`site-${at}`, weight]))),
    steps: fc.array(step, { maxLength: 30 }),
  })
})

/** What each node holds in the end. Nodes that never meet are partitioned. */
function run({ nodes, steps }: History): Versions<string>[] {
  const held: Versions<string>[] = Array.from({ length: nodes }, () => noVersions)
  for (const [at, step] of steps.entries()) {
    if (step.kind === 'meet') {
      held[step.node] = mergeVersions(held[step.node]!, held[step.other]!)
      continue
    }
    const version: SiteVersion<string> = {
      site: `site-${step.node}`,
      stamp: { epoch: 1, sequence: at + 1 },
      time: { ms: 1_000_000 + at + step.skewMs, counter: 0 },
      value: step.value,
    }
    held[step.node] = writeVersion(held[step.node]!, version)
  }
  return held
}

describe('what nodes hold of a key', () => {
  it('merges to the same in every order and grouping, and however often', () => {
    fc.assert(
      fc.property(histories, fc.infiniteStream(fc.nat()), (history, numbers) => {
        const held = run(history)
        const expected = held.reduce(mergeVersions)
        const random = (): number => numbers.next().value as number
        // Any two of what is there are merged, some twice, until one is left.
        const rest = [...held, ...held.slice(0, 2)]
        while (rest.length > 1) {
          const [one] = rest.splice(random() % rest.length, 1)
          const [other] = rest.splice(random() % rest.length, 1)
          rest.push(mergeVersions(one!, other!))
        }
        expect(rest[0]).toEqual(expected)
        expect(mergeVersions(expected, expected)).toEqual(expected)
        for (const each of held) expect(mergeVersions(each, expected)).toEqual(expected)
      }),
      { numRuns: 500 },
    )
  })

  it('elects the same winner on every node after partitions heal, whatever clocks and weights say', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const held = run(history)
        const forwards = held.reduce(mergeVersions)
        const backwards = held.toReversed().reduce(mergeVersions)
        expect(winnerOf(forwards, history)).toEqual(winnerOf(backwards, history))
      }),
      { numRuns: 500 },
    )
  })

  it('never lets a value win that was overwritten in its knowledge, and never loses one that was not', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const held = run(history)
        const all = held.reduce(mergeVersions)
        const names = all.versions.map(({ site, stamp }) => `${site} ${stamp.sequence}`)
        expect(new Set(names).size).toBe(names.length)
        expect(names.toSorted()).toEqual(maximal(history).toSorted())
      }),
      { numRuns: 500 },
    )
  })

  it('could not do so with a rule that picks a winner of each pair', () => {
    // Dominance first, else weight: the usual rule. Which pair meets first decides.
    const weights: Record<string, number> = { light: 1, middle: 2, heavy: 3 }
    const pick = (a: Knowing, b: Knowing): Knowing => {
      if (a.knows.includes(b.site)) return a
      if (b.knows.includes(a.site)) return b
      return weights[a.site]! >= weights[b.site]! ? a : b
    }
    const heavy = { site: 'heavy', knows: [] }
    const light = { site: 'light', knows: ['heavy'] }
    const middle = { site: 'middle', knows: [] }
    expect(pick(pick(heavy, light), middle).site).toBe('middle')
    expect(pick(heavy, pick(light, middle)).site).toBe('heavy')
  })
})

interface Knowing {
  readonly site: string
  readonly knows: readonly string[]
}

/** The writes that no other write knew of, found by following who knew what: shares nothing with the implementation. */
function maximal({ nodes, steps }: History): string[] {
  const known: Set<number>[] = Array.from({ length: nodes }, () => new Set())
  const overwritten = new Set<number>()
  for (const [at, step] of steps.entries()) {
    const mine = known[step.node]!
    if (step.kind === 'meet') {
      for (const write of known[step.other]!) mine.add(write)
    } else {
      for (const write of mine) overwritten.add(write)
      mine.add(at)
    }
  }
  return steps.flatMap((step, at) =>
    step.kind === 'write' && !overwritten.has(at) ? [`site-${step.node} ${at + 1}`] : [],
  )
}

describe('a declared merge', () => {
  const site = fc.constantFrom('a', 'b', 'c')
  const time: fc.Arbitrary<HybridTime> = fc.record({ ms: fc.nat(3), counter: fc.nat(2) })
  const tags = fc.uniqueArray(fc.constantFrom('1', '2', '3', '4')).map((some) => some.toSorted())
  const counters: fc.Arbitrary<CounterValue> = fc.dictionary(
    site,
    fc.record({ up: fc.nat(9), down: fc.nat(9) }),
  )
  const sets: fc.Arbitrary<SetValue> = fc.dictionary(site, fc.record({ added: tags, removed: tags }))
  const writes: fc.Arbitrary<LastWritesValue> = fc.dictionary(
    site,
    fc.record({ time, site, value: fc.option(fc.nat(2), { nil: undefined }) }),
  )

  it('is commutative, associative and idempotent', () => {
    expect(broken(counters, mergeCounters)).toEqual([])
    expect(broken(sets, mergeSets)).toEqual([])
    expect(broken(writes, mergeLastWrites)).toEqual([])
    // As joining texts is not.
    expect(broken(fc.string(), (a, b) => `${a}${b}`)).toEqual(['commutative', 'idempotent'])
  })

  it('joins what was written side by side, and leaves out what was deleted', () => {
    const held = [
      writeVersion(noVersions, counterAt('a', { a: { up: 2, down: 0 } })),
      writeVersion(noVersions, counterAt('b', { b: { up: 3, down: 1 } })),
      writeVersion(noVersions, counterAt('c', undefined)),
    ].reduce(mergeVersions)
    const won = winnerOf(held, { weights: { c: 9 }, merge: mergeCounters })
    expect(canonicalJson(won)).toBe('{"a":{"down":0,"up":2},"b":{"down":1,"up":3}}')
    expect(winnerOf(held, { weights: { c: 9 } })).toBeUndefined()
    expect(winnerOf(held, { weights: { a: 1 } })).toEqual({ a: { up: 2, down: 0 } })
  })
})

describe('quorums', () => {
  it('are taken exactly when every read meets every write, and every two writes meet', () => {
    const weights = fc.array(fc.nat(3), { minLength: 1, maxLength: 7 })
    fc.assert(
      fc.property(weights, fc.nat(12), fc.nat(12), (given, read, write) => {
        const named = Object.fromEntries(given.map((weight, at) => [`node-${at}`, weight]))
        const groups = Array.from({ length: 2 ** given.length }, (_, bits) =>
          Object.keys(named).filter((_name, at) => (bits >> at) & 1),
        )
        const reaching = (needed: number) =>
          groups.filter((group) => weightOf(group, { weights: named }) >= needed)
        const voters = (group: readonly string[]) => group.filter((node) => named[node]! > 0)
        const meet = (some: string[][], others: string[][]) =>
          some.every((one) => others.every((other) => voters(one).some((node) => other.includes(node))))
        const total = weightOf(Object.keys(named), { weights: named })
        const isAccepted = !throws(() => checkQuorums({ weights: named, read, write }))
        const doMeet = meet(reaching(read), reaching(write)) && meet(reaching(write), reaching(write))
        expect(doMeet || !isAccepted).toBe(true)
        const isPlain = read >= 1 && write >= 1 && read <= total && write <= total
        expect(isAccepted).toBe(isPlain && read + write > total && 2 * write > total)
      }),
      { numRuns: 200 },
    )
  })

  it('count a node once, one of weight 0 and an unknown one not at all', () => {
    expect(weightOf(['a', 'a', 'watcher', 'stranger'], { weights: { a: 2, watcher: 0 } })).toBe(2)
  })

  it.each([-1, 0.5, Number.NaN])('refuse the weight %d', (weight) => {
    expect(() => checkQuorums({ weights: { a: 1, b: weight }, read: 1, write: 1 })).toThrow(/weight/)
  })
})

describe('a hybrid clock', () => {
  it('never goes back, also when the wall clock does, and follows what it admits', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(500), fc.option(fc.nat(1_000)))), (ticks) => {
        let wall = 0
        const clock = new HybridClock({ now: () => wall })
        let last: HybridTime = { ms: -1, counter: 0 }
        for (const [now, admitted] of ticks) {
          wall = now
          if (admitted !== null && admitted - now <= 1_000) {
            clock.admit({ ms: admitted, counter: 3 })
            if (admitted > last.ms) last = { ms: admitted, counter: 3 }
          }
          const next = clock.next()
          expect(compareHybridTimes(next, last)).toBeGreaterThan(0)
          last = next
        }
      }),
    )
  })

  it('refuses a time that is too far ahead, and is not moved by it', () => {
    const clock = new HybridClock({ now: () => 5_000, driftMsMax: 100 })
    clock.admit({ ms: 5_100, counter: 0 })
    expect(() => clock.admit({ ms: 5_101, counter: 0 })).toThrow(
      expect.objectContaining({ code: 'CLOCK_DRIFT' }),
    )
    expect(clock.next()).toEqual({ ms: 5_100, counter: 1 })
  })
})

function throws(call: () => void): boolean {
  try {
    call()
    return false
  } catch {
    return true
  }
}

/** The laws that a merge breaks. */
function broken<T>(values: fc.Arbitrary<T>, merge: (a: T, b: T) => T): string[] {
  const laws: Record<string, (a: T, b: T, c: T) => boolean> = {
    commutative: (a, b) => isSame(merge(a, b), merge(b, a)),
    associative: (a, b, c) => isSame(merge(merge(a, b), c), merge(a, merge(b, c))),
    idempotent: (a, b) => isSame(merge(merge(a, b), b), merge(a, b)),
  }
  return Object.entries(laws)
    .filter(([, law]) => fc.check(fc.property(values, values, values, law), { numRuns: 300 }).failed)
    .map(([name]) => name)
}

function isSame(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b)
}

function counterAt(site: string, value: CounterValue | undefined): SiteVersion<CounterValue> {
  return { site, stamp: { epoch: 1, sequence: 1 }, time: { ms: 1, counter: 0 }, value }
}
