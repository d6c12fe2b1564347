import { startPostgres, type PostgresServer } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { forkedLife, hardLife } from '../history/lives.ts'
import { givenSeed } from '../support/seed.ts'

const minutes = Number(process.env['SOAK_MINUTES'] ?? 10)
const firstSeed = givenSeed ?? Math.floor(Math.random() * 1_000_000)

let postgres: PostgresServer

beforeAll(async () => {
  postgres = await startPostgres()
})

afterAll(async () => {
  await postgres.stop()
})

describe('hard lives, one after the other', () => {
  it(
    `break nothing in SOAK_MINUTES=${minutes} from TEST_SEED=${firstSeed} on`,
    async () => {
      const endsAt = performance.now() + minutes * 60_000
      for (let seed = firstSeed; performance.now() < endsAt; seed++) {
        const { breaches, counts, deeds } = await (seed % 3 === 0
          ? forkedLife(seed, postgres, 15)
          : hardLife(seed, postgres, 30))
        const done = Object.values(deeds).reduce((sum, count) => sum + count, 0)
        process.stdout.write(`seed ${seed}: ${done} deeds, ${JSON.stringify(counts)}\n`)
        expect({ seed, breaches, deeds }).toMatchObject({ breaches: [] })
      }
    },
    (minutes + 5) * 60_000,
  )
})
