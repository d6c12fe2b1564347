import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const program = fileURLToPath(new URL('../prove/main.ts', import.meta.url))

it.each([
  [200_000, 0],
  [200_000, 10],
  [200_000, 1_000],
  [200_000, 100_000],
  [1_000_000, 1_000],
])(
  'of %i keys finds and mends %i faults, at no more than 4 KiB a difference and the cells',
  async (keys, faults) => {
    const nodeArgs = ['--conditions=@headwater/source', '--import', 'tsx', program]
    const running = promisify(execFile)(
      process.execPath,
      [...nodeArgs, '--keys', String(keys), '--faults', String(faults), '--json'],
      { maxBuffer: 16 * 1_048_576 },
    )
    running.child.stderr?.pipe(process.stderr)
    const { stdout } = await running
    process.stdout.write(stdout)
    const proven = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Record<string, number>
    expect(proven).toMatchObject({
      planted: faults,
      found: faults,
      wrongVerdicts: 0,
      falseAlarms: 0,
      mended: faults,
      touchedOther: 0,
    })
    // Two copies with 128 cells each; the 20 keys of the traffic may differ too, at every look.
    expect(proven['bytesMoved']!).toBeLessThan((faults + 100) * 4_096 + 2 * 128 * 64)
    expect(proven['peakMegabytes']!).toBeLessThan(2_048)
  },
)
