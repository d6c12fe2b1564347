import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startWorker, type Log, type Worker } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { everyLine, headwater, lastLine, type Ended } from './headwater.ts'
import { product, products, Shop } from './shop.ts'

const config = fileURLToPath(new URL('./shop.config.ts', import.meta.url))
let shop: Shop
let replica: Shop
let client: Redis
let namespace: string
let log: Log
let worker: Worker

beforeAll(async () => {
  ;[shop, replica] = await Promise.all([Shop.open(), Shop.open()])
  client = new Redis(replica.server.options)
})

afterAll(async () => {
  client.disconnect()
  await Promise.all([shop[Symbol.asyncDispose](), replica[Symbol.asyncDispose]()])
})

beforeEach(async () => {
  namespace = shop.namespace()
  log = await shop.connect(namespace)
  const cache = redisSink({ client, collection: products, key: 'product:{key}' })
  worker = await startWorker(log, { groups: { cache } })
  for (const sku of ['lamp', 'desk', 'chair']) {
    const { position } = await log.append(products.put(product(sku)))
    await log.whenApplied(position, { group: 'cache' })
  }
})

afterEach(async () => {
  await worker.stop()
  await log.close()
  // The sink belongs to one log.
  for (const key of await client.keys('*')) await client.unlink(key)
})

function call(...args: readonly string[]): Promise<Ended> {
  return headwater([...args, '--config', config, '--json', ...shop.at(namespace)], {
    env: { REPLICA_URL: replica.server.url },
  })
}

describe('headwater scrub', () => {
  it('reads every stored value, and ends with 1 when one is not what the log says', async () => {
    const sound = await call('scrub')
    expect(sound.ending).toBe(0)
    expect(lastLine(sound)).toMatchObject({ groups: [{ group: 'cache', checked: 3, found: 0 }] })
    await client.set('product:lamp', '{"name":"Changed","priceCents":1,"sku":"lamp"}')
    const found = await call('scrub', 'cache', '--rate', '500')
    expect(found.ending).toBe(1)
    expect(lastLine(found)).toMatchObject({
      groups: [{ found: 1, differences: [{ key: 'lamp', verdict: 'corrupt' }] }],
    })
  })

  it('ends with 2 when it could not tell', async () => {
    expect((await call('scrub', 'nobody')).ending).toBe(2)
  })
})

describe('headwater verify', () => {
  it('compares two groups with each other, and wants to know which', async () => {
    const same = await call('verify', 'cache', '--against', 'cache')
    expect(same.ending).toBe(0)
    expect(lastLine(same)).toMatchObject({ sides: ['cache', 'cache'], equal: true })
    expect((await call('verify', '--against', 'cache')).ending).toBe(2)
  })

  it('tells of a group that cannot be verified, and verifies the others', async () => {
    const broken = fileURLToPath(new URL('./unregistered.config.ts', import.meta.url))
    const at = ['--config', broken, ...shop.at(namespace)]
    const env = { REPLICA_URL: replica.server.url }
    const [told, said, alone] = await Promise.all([
      headwater(['verify', '--json', ...at], { env }),
      headwater(['verify', ...at], { env }),
      headwater(['verify', 'nobody', ...at], { env }),
    ])
    expect(lastLine(told)).toMatchObject({
      groups: [
        { group: 'nobody', result: 'undecided', error: { code: 'GROUP_UNKNOWN' } },
        { group: 'cache', result: 'equal', checked: 3 },
      ],
    })
    expect(said.stdout).toMatch(/nobody: undecided \(.*\[GROUP_UNKNOWN\]\)\ncache: equal/)
    expect([told.ending, said.ending, alone.ending]).toEqual([2, 2, 2])
  })

  it('ends with 0 when the copies agree', async () => {
    const ended = await call('verify')
    expect(ended.ending).toBe(0)
    expect(lastLine(ended)).toMatchObject({ groups: [{ group: 'cache', result: 'equal', checked: 3 }] })
  })

  it('ends with 1 when something differs, and says what; diff shows the values, repair mends it', async () => {
    await client.set('product:lamp', '{"name":"Changed","priceCents":1,"sku":"lamp"}')
    expect((await call('verify')).ending).toBe(0)
    const found = await call('verify', 'cache', '--deep')
    expect(found.ending).toBe(1)
    expect(lastLine(found)).toMatchObject({
      groups: [{ result: 'different', differences: [{ key: 'lamp', verdict: 'corrupt' }] }],
    })

    const shown = await call('diff', 'cache', '--deep')
    expect(shown.ending).toBe(1)
    expect(everyLine(shown)[0]).toMatchObject({
      key: 'lamp',
      logValue: { name: 'Product lamp' },
      sinkValue: { name: 'Changed' },
    })

    const folder = await mkdtemp(join(tmpdir(), 'headwater-'))
    try {
      const report = join(folder, 'report.json')
      await writeFile(report, found.stdout)
      const planned = await call('repair', 'cache', '--report', report, '--dry-run')
      expect(lastLine(planned)).toMatchObject({ dryRun: true, mended: 1 })
      expect((await call('verify', '--deep')).ending).toBe(1)
      const repaired = await call('repair', 'cache', '--report', report)
      expect([repaired.ending, lastLine(repaired)]).toMatchObject([0, { mended: 1, failed: 0 }])
      expect((await call('verify', '--deep')).ending).toBe(0)
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('ends with 2 when it cannot tell: a group that lags, a group or a server that is not there', async () => {
    await worker.stop()
    await log.append(products.put(product('shelf')))
    const late = await call('verify', '--wait', '0')
    expect([late.ending, lastLine(late)]).toMatchObject([2, { groups: [{ result: 'undecided' }] }])
    expect((await call('verify', 'nobody')).ending).toBe(2)
    const gone = await headwater(
      ['verify', '--config', config, '--namespace', 'x', '--redis', 'redis://127.0.0.1:1'],
      {
        env: { REPLICA_URL: replica.server.url },
      },
    )
    expect(gone.ending).toBe(2)
  })
})
