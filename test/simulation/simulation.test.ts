import { beforeAll, describe, expect, it } from 'vitest'
import { createHasher, type Hasher } from '../../packages/core/src/change/content-hash.ts'
import { givenSeed } from '../support/seed.ts'
import { lead, type LifeReport } from './life.ts'
import { planOf } from './plan.ts'

const firstSeed = givenSeed ?? Math.floor(Math.random() * 1_000_000_000)
const livesCount = 400
const clocks = (): unknown[] => [
  Reflect.get(performance, 'now'),
  Reflect.get(Date, 'now'),
  Reflect.get(Math, 'random'),
  setTimeout,
  setInterval,
]
const own = clocks()
const lives: LifeReport[] = []
let hasher: Hasher

beforeAll(async () => {
  hasher = await createHasher(0n)
  for (let seed = firstSeed; seed < firstSeed + livesCount; seed++) {
    lives.push(await lead(planOf(seed), { hasher }))
    await new Promise((resolve) => setImmediate(resolve))
  }
}, 120_000)

/** What was broken, and how to see it again. */
function broken(reports: readonly LifeReport[]): string[] {
  return reports
    .filter(({ breaches }) => breaches.length > 0)
    .map(
      ({ seed, breaches }) => `pnpm test:simulation --seed ${seed} --lives 1 --trace: ${breaches.join('; ')}`,
    )
}

describe('workers that share a group, in simulated time', () => {
  it('break no promise, whatever goes wrong', () => {
    expect(broken(lives)).toEqual([])
  })

  it('come through all that they are built for', () => {
    const met = new Set(lives.flatMap(({ events }) => Object.keys(events)))
    const built = ['acquired', 'lost', 'released', 'retrying', 'parked', 'redriven', 'group-restored']
    expect(built.filter((kind) => !met.has(kind))).toEqual([])
    expect(lives.reduce((sum, { troubles }) => sum + troubles, 0)).toBeGreaterThan(livesCount)
  })

  it('lead the same life again by its seed', async () => {
    const again = await lead(planOf(firstSeed), { hasher })
    expect(again).toEqual(lives[0])
  })

  it('leave clocks and timers of the process as they were', () => {
    expect(clocks()).toEqual(own)
  })
})
