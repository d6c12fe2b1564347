import { expect, it } from 'vitest'
import { killRedrivers } from './kill-redriver.ts'

// Each fifth of its commands, from another one each day; test/large kills before every one.
it('a redriver that is killed loses nothing and keeps the order of each key', async () => {
  const first = 1 + (new Date().getDate() % 5)
  expect(await killRedrivers(first, 5)).toBeGreaterThan(2)
}, 120_000)
