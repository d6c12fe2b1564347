import { expect, it } from 'vitest'
import { killSites } from '../sites/kill-site.ts'

it('a writing site that is killed before any of its first forty commands agrees with the other afterwards', async () => {
  expect(await killSites(Array.from({ length: 40 }, (_, at) => at + 1))).toBe(40)
})
