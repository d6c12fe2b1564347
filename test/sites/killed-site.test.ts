import { expect, it } from 'vitest'
import { givenSeed } from '../support/seed.ts'
import { killSites } from './kill-site.ts'

// At other moments each day; test/large kills before every command, and so often that a change may be suspected of it.
it('a writing site whose process is killed goes on where it was: both agree, and nothing acknowledged is lost', async () => {
  const seed = givenSeed ?? new Date().getDate()
  expect(await killSites([1 + (seed % 7), 8 + (seed % 11), 19 + (seed % 13)])).toBe(3)
}, 120_000)
