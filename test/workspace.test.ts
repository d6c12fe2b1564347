import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const lockfile = readFileSync(new URL('../pnpm-lock.yaml', import.meta.url), 'utf8')

describe('the workspace', () => {
  it('names no registry in its lockfile', () => {
    expect(lockfile.match(/https?:\/\/\S+/g)).toBeNull()
  })
})
