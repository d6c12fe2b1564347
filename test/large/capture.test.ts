import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { startCommandCapture, startStateCapture } from '@headwater/redis'
import type { Redis } from 'ioredis'
import { afterAll, expect, it } from 'vitest'
import { collections, mappings } from '../capture/captured-types.ts'
import { logDifferences } from '../capture/log-differences.ts'
import { differences } from '../capture/same-data.ts'
import { storm } from '../capture/storm.ts'
import { compileProgram } from '../support/compile-program.ts'
import { eventually } from '../support/eventually.ts'
import { plainClient } from '../support/plain-client.ts'
import { Random } from '../support/random.ts'
import { givenSeed } from '../support/seed.ts'
import { PeakMemory } from './peak-memory.ts'
import { redisBenchmark } from './redis-benchmark.ts'
import { sizes } from './sizes.ts'

const keys = 1_000_000
const unhurried = { timeoutMs: 300_000, everyMs: 500 }
const folder = mkdtempSync(join(tmpdir(), 'headwater-'))
afterAll(() => rmSync(folder, { recursive: true }))

// Compiled, because the loader of TypeScript would count as the capture's memory.
const program = await compileProgram(new URL('capture-process.ts', import.meta.url))
const stateProgram = await compileProgram(new URL('state-capture-process.ts', import.meta.url))

/** A capture in a process of its own, which is killed at the end. */
class Capture implements AsyncDisposable {
  readonly #process: ChildProcess

  constructor(file: string, from: string, to: string, spool: string) {
    this.#process = fork(file, [from, to, join(folder, spool)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
  }

  /** Writes to the source until the capture has caught up. Gives the most memory that it held, in MB. */
  async caughtUpBesideWrites(what: string, from: Redis): Promise<number> {
    using memory = new PeakMemory(this.#process)
    let writes = 0
    const writing = setInterval(() => void from.set(`key:${writes % keys}`, `written ${writes++}`), 1)
    try {
      const startedAt = performance.now()
      await once(this.#process, 'message')
      const seconds = (performance.now() - startedAt) / 1_000
      process.stdout.write(
        `capture of ${what}: ${seconds.toFixed(0)} s, ${writes} writes, peak ${memory.mb.toFixed(0)} MB\n`,
      )
      return memory.mb
    } finally {
      clearInterval(writing)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL')
    await once(this.#process, 'exit')
  }
}

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
  await using capture = new Capture(program, source.url, target.url, 'spool')
  const peakMb = await capture.caughtUpBesideWrites('1 GB', from)
  // Our bookkeeping is one key.
  expect(await sizeOf(to)).toBe((await sizeOf(from)) + 1)
  expect(Buffer.byteLength((await to.get('large')) ?? '')).toBe(20_000_001)
  expect(peakMb).toBeLessThanOrEqual(256)
  expect(peakMb).toBeGreaterThan(0)
})

it('a capture of the state of 1 GB holds at most 256 MB, with writes all the while', async () => {
  await using source = await startRedis({ own: true, config: { 'repl-diskless-sync-delay': '0' } })
  await using server = await startRedis({ own: true })
  await using from = plainClient(source.options)
  await from.call('DEBUG', 'POPULATE', keys, 'key', 1_000)
  await using capture = new Capture(stateProgram, source.url, server.url, 'state-spool')
  const peakMb = await capture.caughtUpBesideWrites('the state of 1 GB', from)
  await using log = await connect(server.options, { namespace: 'large', collections: [sizes] })
  const ids = Array.from({ length: 200 }, (_, index) => String(index * 4_999))
  await eventually(async () => {
    const entities = await log.getMany(sizes, ids)
    const lengths = await Promise.all(ids.map((id) => from.strlen(`key:${id}`)))
    expect(entities.map((entity) => entity?.value.length)).toEqual(lengths.map(Number))
  }, unhurried)
  expect(peakMb).toBeLessThanOrEqual(256)
  expect(peakMb).toBeGreaterThan(0)
})

it('captures of both modes end with the same data after redis-benchmark and a storm ran beside them', async () => {
  await using source = await startRedis({ own: true, config: { 'repl-diskless-sync-delay': '0' } })
  await using target = await startRedis({ own: true })
  await using server = await startRedis({ own: true })
  await using from = plainClient(source.options)
  await using to = plainClient(target.options)
  await using toLog = plainClient(server.options)
  const commands = await startCommandCapture({
    from: source.options,
    to: target.options,
    spool: join(folder, 'spool-1'),
  })
  await using log = await connect(server.options, {
    namespace: 'load',
    collections: Object.values(collections),
    partitions: 2,
  })
  const state = await startStateCapture(log, {
    from: source.options,
    collections: mappings,
    spool: join(folder, 'spool-2'),
  })
  try {
    let most = 0
    const looking = setInterval(() => (most = Math.max(most, commands.status().lagBytes)), 100)
    const startedAt = performance.now()
    const loads = [redisBenchmark(source, 30_000), storm(from, new Random(givenSeed ?? 21), 400)]
    await Promise.all(loads)
    const seconds = (performance.now() - startedAt) / 1_000
    await Promise.all([commands.caughtUp(), state.caughtUp()])
    clearInterval(looking)
    const caughtUp = (performance.now() - startedAt) / 1_000 - seconds
    await eventually(async () => {
      await Promise.all([commands.caughtUp(), state.caughtUp()])
      expect(await differences(from, to, 'held')).toEqual([])
      const { rejected } = state.status()
      expect(await logDifferences(from, toLog, 'load', 2, mappings, rejected)).toEqual([])
    }, unhurried)
    process.stdout.write(
      `captures beside redis-benchmark: 360,000 requests in ${seconds.toFixed(0)} s, caught up ${caughtUp.toFixed(1)} s later, at most ${(most / 1e6).toFixed(0)} MB behind\n`,
    )
  } finally {
    await commands.stop()
    await state.stop()
  }
})

async function sizeOf(client: Redis): Promise<number> {
  return Number(await client.call('DBSIZE'))
}
