import { fork, type ChildProcess } from 'node:child_process'
import { connect, defineCollection } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { compileProgram } from '../support/compile-program.ts'
import { eventually } from '../support/eventually.ts'
import { PeakMemory } from './peak-memory.ts'

const products = defineCollection('products', {
  schema: z.object({ sku: z.string(), text: z.string() }),
  key: ({ sku }) => sku,
})

const million = 1_000_000
// Compiled, because the loader of TypeScript would count as the worker's memory.
const program = await compileProgram(new URL('worker-process.ts', import.meta.url))

it('a worker whose sink has stopped holds at most 150 MB while a million changes wait, and while it works them off', async () => {
  await using logServer = await startRedis({ own: true })
  await using replica = await startRedis({ own: true })
  await using log = await connect(logServer.url, { namespace: 'shop', collections: [products] })
  // Node lets garbage pile up to hundreds of MB before it looks for it, unless it is told to keep house.
  const worker = fork(program, [logServer.url, replica.url], { execArgv: ['--max-old-space-size=64'] })
  using memory = new PeakMemory(worker)
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
    expect(memory.mb).toBeLessThanOrEqual(150)
    await replica.kill('SIGCONT')
    await eventually(async () => expect((await log.groups()).every(({ lag }) => lag === 0)).toBe(true), {
      timeoutMs: 300_000,
      everyMs: 500,
    })
    expect(memory.mb).toBeLessThanOrEqual(150)
  } finally {
    worker.kill('SIGKILL')
  }
  process.stdout.write(`peak resident memory of the worker: ${memory.mb.toFixed(0)} MB\n`)
})

async function acquired(worker: ChildProcess, partitions: number): Promise<void> {
  let count = 0
  worker.on('message', (kind) => (count += kind === 'acquired' ? 1 : 0))
  await eventually(() => expect(count).toBe(partitions), { timeoutMs: 30_000 })
}
