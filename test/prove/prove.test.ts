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
  const { bytesMoved, ...proven } = await prove('--keys', '500', '--faults', '24')
  expect(proven).toMatchObject({
    keys: 500,
    planted: 24,
    found: 24,
    wrongVerdicts: 0,
    falseAlarms: 0,
    mended: 24,
    touchedOther: 0,
  })
  // 12 of 500 keys in each of two copies, and the keys of the traffic: by listing it would be all rows, twice.
  expect(bytesMoved).toBeGreaterThan(0)
}, 60_000)
