import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

it('the example of an adapter keeps a copy that agrees with the log', () => {
  const file = fileURLToPath(new URL('../../examples/write-an-adapter/main.ts', import.meta.url))
  const flags = ['--conditions=@headwater/source', '--import', 'tsx', file]
  expect(execFileSync(process.execPath, flags, { encoding: 'utf8' })).toBe('100 keys agree\n')
})
