import { fork, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect, defineCollection } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'

const products = defineCollection('products', {
  schema: z.object({ sku: z.string(), text: z.string() }),
  key: ({ sku }) => sku,
})
const million = 1_000_000
const folder = mkdtempSync(join(tmpdir(), 'headwater-'))
const program = join(folder, 'worker.mjs')

// Bundled, because the loader of TypeScript would count as the worker's memory.
beforeAll(async () => {
  await build({
    entryPoints: [fileURLToPath(new URL('worker-process.ts', import.meta.url))],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['@headwater/source'],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)",
    },
  })
})
afterAll(() => rmSync(folder, { recursive: true }))

it('a worker whose sink has stopped holds at most 150 MB while a million changes wait, and while it works them off', async () => {
  await using logServer = await startRedis({ own: true })
  await using replica = await startRedis({ own: true })
  await using log = await connect(logServer.url, { namespace: 'shop', collections: [products] })
  // Node lets garbage pile up to hundreds of MB before it looks for it, unless it is told to keep house.
  const worker = fork(program, [logServer.url, replica.url], { execArgv: ['--max-old-space-size=64'] })
  const memory = new PeakMemory(worker)
  try {
    await acquired(worker, log.partitions)
    await replica.kill('SIGSTOP')
    for (let from = 0; from < million; from += 5_000) {
      const some = Array.from({ length: 5_000 }, (_, at) =>
        log.append(products.put({ sku: `sku-${(from + at) % 200_000}`, text: 'x'.repeat(60) })),
      )
      await Promise.all(some)
    }
    expect(Math.max(...(await log.groups()).map(({ lag }) => lag))).toBeGreaterThan(100_000)
    expect(memory.peakMb).toBeLessThanOrEqual(150)
    await replica.kill('SIGCONT')
    await eventually(async () => expect((await log.groups()).every(({ lag }) => lag === 0)).toBe(true), {
      timeoutMs: 300_000,
      everyMs: 500,
    })
    expect(memory.peakMb).toBeLessThanOrEqual(150)
  } finally {
    memory.stop()
    worker.kill('SIGKILL')
  }
  process.stdout.write(`peak resident memory of the worker: ${memory.peakMb.toFixed(0)} MB\n`)
})

async function acquired(worker: ChildProcess, partitions: number): Promise<void> {
  let count = 0
  worker.on('message', (kind) => (count += kind === 'acquired' ? 1 : 0))
  await eventually(() => expect(count).toBe(partitions), { timeoutMs: 30_000 })
}

class PeakMemory {
  peakMb = 0
  readonly #timer: NodeJS.Timeout

  constructor({ pid }: ChildProcess) {
    this.#timer = setInterval(() => (this.peakMb = Math.max(this.peakMb, residentMb(pid!))), 100)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

function residentMb(pid: number): number {
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) / 1_024
}
