import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const program = fileURLToPath(new URL('./main.ts', import.meta.url))

async function prove(...args: readonly string[]): Promise<Record<string, number>> {
  const nodeArgs = ['--conditions=@headwater/source', '--import', 'tsx', program, ...args, '--json']
  const { stdout } = await promisify(execFile)(process.execPath, nodeArgs)
  return JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Record<string, number>
}

it('finds and mends every planted fault in Redis and Postgres under live traffic, and touches nothing else', async () => {
  const { bytesMoved, ...proven } = await prove('--keys', '2000', '--faults', '48')
  expect(proven).toMatchObject({
    keys: 2_000,
    planted: 48,
    found: 48,
    wrongVerdicts: 0,
    falseAlarms: 0,
    mended: 48,
    touchedOther: 0,
  })
  // 24 of 2,000 keys in each of two copies, and the keys of the traffic: by listing it would be all rows, twice.
  expect(bytesMoved).toBeGreaterThan(0)
}, 60_000)
