import { startPostgres, type OwnPostgresServer } from '@headwater/local-servers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { givenSeed } from '../support/seed.ts'
import { live, type Life } from './life.ts'
import { groups } from './world.ts'

// A little of everything, every day; `pnpm test:faults` goes on for as long as one likes.
const seed = givenSeed ?? 1
const failovers = [
  'kill a master',
  'stop a master until another takes its place',
  'ask the Sentinels for a failover',
  'hand over to a replica',
  'make a replica the master',
]

let postgres: OwnPostgresServer

beforeEach(async () => {
  postgres = await startPostgres({ own: true })
})

afterEach(async () => {
  await postgres.stop()
})

/** Other tests use the same cores: so it may take longer here than what is promised, but not much. */
function expectSoundness({ breaches, counts, deeds, recoveries }: Life): void {
  const late = recoveries.filter(({ tookMs, boundMs }) => tookMs > 4 * boundMs)
  expect({ breaches, late, counts, deeds }).toMatchObject({ breaches: [], late: [] })
}

describe('a log on one server, while processes, links, disk, memory and clock fail', () => {
  it(`loses and doubles nothing, and reaches every sink in order (TEST_SEED=${seed})`, async () => {
    const life = await live({ kind: 'single', seed, faults: 16, postgres })
    expectSoundness(life)
    // Otherwise this shows nothing.
    expect(life.counts.stored).toBeGreaterThan(1_000)
    expect(life.counts.conflicts).toBeGreaterThan(50)
    expect(life.counts.lost + life.counts.orphans).toBe(0)
  }, 240_000)
})

describe('a log behind Sentinels', () => {
  it(`keeps through failovers what all replicas had (TEST_SEED=${seed})`, async () => {
    const life = await live({ kind: 'sentinel', seed: seed + 1, faults: 3, only: failovers, postgres })
    expectSoundness(life)
    expect(life.counts.stored).toBeGreaterThan(300)
    expect(life.counts.lost).toBe(0)
  }, 240_000)
})

describe('a log on a Cluster', () => {
  it(`keeps through failovers and resharding what replicas had (TEST_SEED=${seed})`, async () => {
    const only = [...failovers, 'move a slot', 'kill a worker']
    const life = await live({ kind: 'cluster', seed: seed + 2, faults: 5, only, postgres })
    expectSoundness(life)
    expect(life.counts.stored).toBeGreaterThan(300)
    expect(life.counts.lost).toBe(0)
  }, 240_000)
})

describe('a log that is replaced by an older copy of itself', () => {
  it(`loses exactly what the copy does not have, says so, and wins at every sink (TEST_SEED=${seed})`, async () => {
    const life = await live({ kind: 'forked', seed: seed + 3, faults: 2, only: ['kill a worker'], postgres })
    expectSoundness(life)
    const { counts, evidence, events, noted } = life
    expect(counts.lost).toBeGreaterThan(50)
    expect(events.map(({ kind }) => kind)).toContain('history-lost')
    for (const [partition, inherited] of evidence.inherited.entries()) {
      // The only epoch besides the first; its number goes by the clock.
      const [, kept] = [...inherited].find(([epoch]) => epoch > 1)!
      const says = new RegExp(`^${kept + 1}-\\d+ of epoch 1$`)
      for (const group of groups) expect(noted.get(`${group} ${partition}`)).toMatch(says)
    }
  }, 240_000)
})
