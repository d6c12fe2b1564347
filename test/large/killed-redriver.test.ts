import { expect, it } from 'vitest'
import { killRedrivers } from '../parking/kill-redriver.ts'

it('a redriver that is killed before any of its commands loses nothing and keeps the order of each key', async () => {
  expect(await killRedrivers(1, 1)).toBeGreaterThan(10)
})
