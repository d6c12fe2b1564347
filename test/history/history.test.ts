import { startPostgres, type PostgresServer } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { givenSeed } from '../support/seed.ts'
import { forkedLife, hardLife } from './lives.ts'
import { groups } from './world.ts'

let postgres: PostgresServer

beforeAll(async () => {
  postgres = await startPostgres()
})

afterAll(async () => {
  await postgres.stop()
})

const seeds = givenSeed === undefined ? [1, 2] : [givenSeed]

describe('appends of several writers, while processes and links die at random', () => {
  it.each(seeds)(
    'are neither lost nor doubled, and reach every sink in order (TEST_SEED=%i)',
    async (seed) => {
      const { breaches, counts, deeds } = await hardLife(seed, postgres)
      expect({ breaches, counts, deeds }).toMatchObject({ breaches: [] })
      // Otherwise this shows nothing.
      expect(counts.stored).toBeGreaterThan(1_000)
      expect(counts.conflicts).toBeGreaterThan(50)
      expect(counts.lost + counts.orphans).toBe(0)
    },
    120_000,
  )
})

describe('a log that is replaced by an older copy of itself', () => {
  it.each(seeds.slice(0, 1))(
    'loses exactly what the copy does not have, says so, and wins at every sink (TEST_SEED=%i)',
    async (seed) => {
      const { breaches, counts, deeds, evidence, events, noted } = await forkedLife(seed, postgres)
      expect({ breaches, counts, deeds }).toMatchObject({ breaches: [] })
      expect(counts.lost).toBeGreaterThan(50)
      expect(events.map(({ kind }) => kind)).toContain('history-lost')
      for (const [partition, inherited] of evidence.inherited.entries()) {
        const says = new RegExp(`^${inherited.get(2)! + 1}-\\d+ of epoch 1$`)
        for (const group of groups) expect(noted.get(`${group} ${partition}`)).toMatch(says)
      }
    },
    120_000,
  )
})
