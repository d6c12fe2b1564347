import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  archive,
  connect,
  directoryArchive,
  HeadwaterError,
  memorySink,
  reject,
  setRetention,
  startWorker,
  trim,
  type Log,
  type Sink,
} from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { checkArchive } from '../../packages/cli/src/commands/archive.ts'
import { diff } from '../../packages/cli/src/commands/diff.ts'
import { exportRecords } from '../../packages/cli/src/commands/export.ts'
import { lost } from '../../packages/cli/src/commands/lost.ts'
import { dropParked, redriveParked } from '../../packages/cli/src/commands/parked.ts'
import { purgeDeleted, purgeRecords, purgeSilentProducers } from '../../packages/cli/src/commands/purge.ts'
import { replay } from '../../packages/cli/src/commands/replay.ts'
import { verify } from '../../packages/cli/src/commands/verify.ts'
import type { Invocation } from '../../packages/cli/src/invocation.ts'
import { Output } from '../../packages/cli/src/output.ts'
import { drained } from '../worker/test-log.ts'
import { product, products, visits } from './shop.ts'

interface Step {
  readonly text: string
  readonly share: number | undefined
}

/** An output to which everything about progress is news, also what came a moment after the last. */
class EveryStep extends Output {
  readonly steps: Step[] = []
  readonly #onStep: () => void

  constructor(onStep: () => void) {
    const nowhere = { isTTY: false, write: () => true } as unknown as NodeJS.WriteStream
    super(true, nowhere, nowhere)
    this.#onStep = onStep
  }

  override progress(text: () => string, share?: number): void {
    this.steps.push({ text: text(), share })
    this.#onStep()
  }
}

const config = fileURLToPath(new URL('./shop.config.ts', import.meta.url))

let server: OwnRedisServer
let replica: OwnRedisServer
let client: Redis
let folder: string
let namespace: string
let log: Log
let logs = 0
beforeAll(async () => {
  ;[server, replica] = await Promise.all([startRedis({ own: true }), startRedis({ own: true })])
  client = new Redis(replica.options)
  vi.stubEnv('REPLICA_URL', replica.url)
})
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-test-'))
  namespace = `shop-${++logs}`
  log = await connect(server.options, { namespace, collections: [products, visits], partitions: 2 })
  await client.flushall()
})
afterEach(async () => {
  // Some commands say with it how they came out.
  process.exitCode = undefined
  await log.close()
  rmSync(folder, { recursive: true })
})
afterAll(async () => {
  vi.unstubAllEnvs()
  client.disconnect()
  await Promise.all([server.stop(), replica.stop()])
})

/** What a command tells on its way. */
async function stepsOf(
  command: (call: Invocation) => Promise<void>,
  onStep: () => void = () => {},
): Promise<Step[]> {
  const output = new EveryStep(onStep)
  await command({ options: { redis: server.url, namespace, config }, output })
  return output.steps
}

/** One stretch of work goes on to its end, and says on the way how long the rest takes. */
function expectWhole(steps: readonly Step[]): void {
  const shares = steps.map(({ share }) => share!)
  expect(shares).toEqual(shares.toSorted((a, b) => a - b))
  expect(shares[0]).toBeLessThan(1)
  expect(shares.at(-1)).toBe(1)
  for (const { text, share } of steps) expect(text.endsWith(' left')).toBe(share! > 0 && share! < 1)
}

const skus = Array.from({ length: 1_200 }, (_, at) => `p${at}`)
const putAll = (some: readonly string[]) =>
  Promise.all(some.map((sku) => log.append(products.put(product(sku)))))
const cache = () => redisSink({ client, collection: products, key: 'product:{key}' })
async function applied(sink: Sink): Promise<void> {
  const worker = await startWorker(log, { groups: { cache: sink } })
  await drained(log, 'cache')
  await worker.stop()
}

describe('how far it is and how long the rest takes is told by', () => {
  it('export, of reading and of writing', async () => {
    await putAll(skus)
    const steps = await stepsOf((call) => exportRecords(call, 'products', join(folder, 'all.ndjson'), {}))
    expect(steps[99]!.text).toMatch(/^100 of 1,200 records read, .* left$/)
    expectWhole(steps.slice(0, 1_200))
    expect(steps[1_299]!.text).toMatch(/^100 of 1,200 records written, .* left$/)
    expectWhole(steps.slice(1_200))
  })

  it.each<[string, (call: Invocation) => Promise<void>]>([
    ['of idempotency records', (call) => purgeRecords(call, {})],
    ['of producers', (call) => purgeSilentProducers(call, {})],
    ['of tombstones beside the log', (call) => purgeDeleted(call, [], {})],
    ['of tombstones in a sink', (call) => purgeDeleted(call, ['cache'], {})],
  ])('purge %s', async (_, command) => {
    const names = Array.from({ length: 1_500 }, (_, at) => [`1.${at}`, '1 1 1 1|1'])
    await putAll(skus)
    for (const partition of [0, 1])
      await plant(`headwater:{${namespace}:${partition}}:producers`, names.flat())
    await Promise.all(skus.slice(0, 700).map((sku) => log.append(products.delete(sku))))
    await applied(cache())
    await setRetention(log, { retentionMs: 0 })
    await trim(log)
    const steps = await stepsOf(command)
    expect(steps[0]!.text).toMatch(/ left$/)
    expectWhole(steps)
  })

  it('lost, of finding and of reverting', async () => {
    const admin = new Redis(server.options)
    await putAll(skus.slice(0, 900))
    await applied(cache())
    await admin.save()
    await putAll(skus.slice(900))
    await applied(cache())
    await server.kill('SIGKILL')
    await server.restart()
    admin.disconnect()
    const steps = await stepsOf((call) => lost(call, 'revert', ['cache'], {}))
    const reverts = steps.findIndex(({ text }) => text.includes('reverted'))
    expect(steps[0]!.text).toMatch(/^cache: 500 rows looked at, .* left$/)
    expectWhole(steps.slice(0, reverts))
    expect(steps[reverts]!.text).toMatch(/^cache: 100 of 300 keys reverted, .* left$/)
    expectWhole(steps.slice(reverts))
  })

  it('replay of a history, of reading and of applying', async () => {
    for (let round = 0; round < 3; round++) await putAll(skus)
    await applied(cache())
    const steps = await stepsOf((call) => replay(call, 'cache', 'p7', { from: 'history' }))
    const applies = steps.findIndex(({ text }) => text.includes('given'))
    expect(steps[0]!.text).toMatch(/^500 of 1,\d{3} changes of the partition read, .* left$/)
    expectWhole(steps.slice(0, applies))
    expect(steps[applies]!.text).toMatch(/^1 of 3 changes of the key given to the sink, .* left$/)
    expectWhole(steps.slice(applies))
  })

  it.each<[string, (call: Invocation) => Promise<void>]>([
    ['verify', (call) => verify(call, ['cache'], { digests: true })],
    ['diff', (call) => diff(call, 'cache', {})],
    ['verify of two copies', (call) => verify(call, ['cache'], { digests: true, against: 'cache' })],
    ['diff of two copies', (call) => diff(call, 'cache', { against: 'cache' })],
  ])('%s by digests', async (_, command) => {
    await putAll(skus)
    await applied(cache())
    const steps = await stepsOf(command)
    expect(steps.some(({ text }) => /1,200 keys compared, .* left$/.test(text))).toBe(true)
    expectWhole(steps)
  })

  it('redrive and drop of parked keys', async () => {
    const gate = new EventEmitter()
    let opened: Promise<unknown> = Promise.resolve()
    const sink = rejecting(async (partition) => void (partition === 1 && (await opened)))
    await using _ = await startWorker(log, { groups: { cache: sink } })
    await putAll(skus.slice(0, 60))
    await drained(log, 'cache')
    opened = once(gate, 'open')
    const redriven = await stepsOf(
      (call) => redriveParked(call, 'cache', {}),
      () => gate.emit('open'),
    )
    expect(redriven[0]!.text).toMatch(/^\d+ of 60 keys fed back, .* left$/)
    expectWhole(redriven)
    const dropped = await stepsOf((call) => dropParked(call, 'cache', { all: true }))
    expect(dropped[9]!.text).toMatch(/^10 of 60 keys given up, .* left$/)
    expectWhole(dropped)
  })

  it('archive --verify', async () => {
    for (let round = 0; round < 3; round++) await putAll(skus)
    await archive(log, directoryArchive(folder))
    const steps = await stepsOf((call) => checkArchive(call, folder))
    expect(steps[0]!.text).toMatch(/^partition 1 of 2: \d+ changes read, [\d,]+ left here, .* left$/)
    expectWhole(steps)
  })
})

/** Producers that stored something long ago. */
async function plant(key: string, fields: readonly string[]): Promise<void> {
  const admin = new Redis(server.options)
  await admin.hset(key, ...fields)
  admin.disconnect()
}

/** A sink that takes nothing, and may take its time to say so. */
function rejecting(mayAnswer: (partition: number) => Promise<void>): Sink {
  const memory = memorySink({ collection: products })
  return {
    ...memory,
    open: async (options) => ({
      ...(await memory.open(options)),
      async apply(changes) {
        await mayAnswer(options.partition)
        return changes.map(() => reject(new HeadwaterError('SINK_REJECTED', 'Nothing is good enough.')))
      },
    }),
  }
}
