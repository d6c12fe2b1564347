import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { RateLimit } from '../../packages/core/src/steering/rate-limit.ts'

const steps = fc.array(
  fc.record({ passMs: fc.integer({ min: 0, max: 2_000 }), wants: fc.integer({ min: 0, max: 50 }) }),
  { maxLength: 60 },
)

it('lets no more pass than its rate and one burst, whenever somebody asks', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), steps, (perSecond, asked) => {
      let now = 0
      let passed = 0
      const limit = new RateLimit(() => now)
      limit.set(perSecond)
      for (const { passMs, wants } of asked) {
        now += passMs
        const count = Math.min(wants, limit.available)
        limit.spend(count)
        passed += count
        expect(passed).toBeLessThanOrEqual((now / 1_000) * perSecond + Math.max(1, perSecond / 5) + 1e-6)
      }
    }),
  )
})

it('lets the next pass after as long as it says, also when more was spent than there was', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 0, max: 100 }), (perSecond, spent) => {
      let now = 0
      const limit = new RateLimit(() => now)
      limit.set(perSecond)
      limit.spend(spent)
      now += limit.waitMs
      expect(limit.available).toBeGreaterThanOrEqual(1)
      expect(limit.waitMs).toBe(0)
    }),
  )
})

it('without a rate lets everything pass', () => {
  const limit = new RateLimit()
  limit.set(5)
  limit.spend(100)
  limit.set(undefined)
  expect([limit.available, limit.waitMs]).toEqual([Number.POSITIVE_INFINITY, 0])
})
