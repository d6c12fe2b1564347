import { beforeAll, describe, expect, it } from 'vitest'
import { createHasher, type Hasher } from '../../packages/core/src/change/content-hash.ts'
import { givenSeed } from '../support/seed.ts'
import { lead, type LifeReport } from './life.ts'
import { planOf, type Scope } from './plan.ts'

const firstSeed = givenSeed ?? Math.floor(Math.random() * 1_000_000_000)
const largeCount = 300
const smallCount = 3_000
const clocks = (): unknown[] => [
  Reflect.get(performance, 'now'),
  Reflect.get(Date, 'now'),
  Reflect.get(Math, 'random'),
  setTimeout,
  setInterval,
  AbortController,
]
const own = clocks()
const lives: LifeReport[] = []
let hasher: Hasher

beforeAll(async () => {
  hasher = await createHasher(0n)
})

async function leadMany(scope: Scope, count: number): Promise<LifeReport[]> {
  const reports: LifeReport[] = []
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    reports.push(await lead(planOf(seed, scope), { hasher }))
    await new Promise((resolve) => setImmediate(resolve))
  }
  return reports
}

/** What was broken, and how to see it again. */
function broken(scope: Scope, reports: readonly LifeReport[]): string[] {
  return reports
    .filter(({ breaches }) => breaches.length > 0)
    .map(
      ({ seed, breaches }) =>
        `pnpm test:simulation --scope ${scope} --seed ${seed} --lives 1 --trace: ${breaches.join('; ')}`,
    )
}

describe('workers that share a group, in simulated time', () => {
  it('break no promise, whatever goes wrong', async () => {
    lives.push(...(await leadMany('large', largeCount)))
    expect(broken('large', lives)).toEqual([])
  }, 120_000)

  it('break no promise in thousands of small schedules', async () => {
    expect(broken('small', await leadMany('small', smallCount))).toEqual([])
  }, 120_000)

  it('come through all that they are built for', () => {
    const met = new Set(lives.flatMap(({ events }) => Object.keys(events)))
    const built = ['acquired', 'lost', 'released', 'retrying', 'parked', 'redriven', 'group-restored']
    expect(built.filter((kind) => !met.has(kind))).toEqual([])
    expect(lives.reduce((sum, { troubles }) => sum + troubles, 0)).toBeGreaterThan(largeCount)
  })

  it('lead the same life again by its seed', async () => {
    expect(await leadMany('large', 1)).toEqual(lives.slice(0, 1))
    expect(await leadMany('small', 50)).toEqual(await leadMany('small', 50))
  })

  it('leave clocks and timers of the process as they were', () => {
    expect(clocks()).toEqual(own)
  })
})
