import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedis } from '@headwater/local-servers'
import { build } from 'esbuild'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { plainClient } from '../support/plain-client.ts'

const keys = 1_000_000
const folder = mkdtempSync(join(tmpdir(), 'headwater-'))
const program = join(folder, 'capture.mjs')

// Bundled, because the loader of TypeScript would count as the capture's memory.
beforeAll(async () => {
  await build({
    entryPoints: [join(import.meta.dirname, 'capture-process.ts')],
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

it('a capture of 1 GB holds at most 256 MB, with a large key among the small ones and writes all the while', async () => {
  await using source = await startRedis({
    own: true,
    config: { rdbcompression: 'no', 'repl-diskless-sync-delay': '0' },
  })
  await using target = await startRedis({ own: true })
  await using from = plainClient(source.options)
  await using to = plainClient(target.options)
  await from.call('DEBUG', 'POPULATE', keys, 'key', 1_000)
  await from.setrange('large', 20_000_000, 'x')
  const capture = fork(program, [source.url, target.url, join(folder, 'spool')], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let peakKb = 0
  const sampling = setInterval(() => {
    const rss = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${capture.pid}/status`, 'utf8'))?.[1]
    peakKb = Math.max(peakKb, Number(rss ?? 0))
  }, 100)
  let writes = 0
  const writing = setInterval(() => void from.set(`key:${writes % keys}`, `written ${writes++}`), 1)
  try {
    const startedAt = performance.now()
    await once(capture, 'message')
    const seconds = (performance.now() - startedAt) / 1_000
    clearInterval(writing)
    clearInterval(sampling)
    // Our bookkeeping is one key.
    expect(await sizeOf(to)).toBe((await sizeOf(from)) + 1)
    expect(Buffer.byteLength((await to.get('large')) ?? '')).toBe(20_000_001)
    expect(peakKb / 1_024).toBeLessThanOrEqual(256)
    expect(peakKb).toBeGreaterThan(0)
    process.stdout.write(
      `capture of 1 GB: ${seconds.toFixed(0)} s, ${writes} writes, peak ${(peakKb / 1_024).toFixed(0)} MB\n`,
    )
  } finally {
    clearInterval(writing)
    clearInterval(sampling)
    capture.kill('SIGKILL')
    await once(capture, 'exit')
  }
})

async function sizeOf(client: Redis): Promise<number> {
  return Number(await client.call('DBSIZE'))
}
