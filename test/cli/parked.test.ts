import {
  HeadwaterError,
  memorySink,
  reject,
  startWorker,
  type Log,
  type Sink,
  type Worker,
} from '@headwater/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { intercepted } from '../support/intercepted-sink.ts'
import { headwater, lastLine, type Ended } from './headwater.ts'
import { openShop, shop } from './opened-shop.ts'
import { product, products } from './shop.ts'

let namespace: string
let log: Log
let worker: Worker
let rejects: boolean

openShop()

beforeEach(async () => {
  namespace = shop.namespace()
  log = await shop.connect(namespace)
  rejects = true
  worker = await startWorker(log, { groups: { cache: refusingSink() } })
  for (const sku of ['lamp', 'desk']) await log.append(products.put(product(sku)))
  await eventually(async () => expect(await log.parking('cache').list()).toHaveLength(2))
})

afterEach(async () => {
  await worker.stop()
  await log.close()
})

function refusingSink(): Sink {
  return intercepted(
    memorySink({ collection: products }),
    async (changes, pass) =>
      rejects
        ? changes.map(() => reject(new HeadwaterError('SINK_REJECTED', 'Closed today.')))
        : await pass(changes),
    { snapshot: false },
  )
}

const call = (...args: readonly string[]): Promise<Ended> =>
  headwater([...args, '--json', ...shop.at(namespace)])

describe('headwater parked', () => {
  it('lists, shows, feeds back and gives up, with an exit code for what is left', async () => {
    const list = await call('parked', 'list', 'cache')
    expect(lastLine(list)).toMatchObject({
      group: 'cache',
      keys: 2,
      parked: [
        { collection: 'products', reason: 'SINK_REJECTED', message: 'Closed today.', entry: null },
        { changes: 1 },
      ],
    })
    const shown = await call('parked', 'show', 'cache', 'products', 'lamp')
    expect(lastLine(shown)).toMatchObject({ contents: [{ value: product('lamp'), version: '1' }], raw: null })

    const refused = await call('parked', 'retry', 'cache', 'products', 'lamp')
    expect(refused.ending).toBe(1)
    expect(lastLine(refused)).toMatchObject({ redriven: 0, refused: [{ key: 'lamp', refused: 1 }] })
    rejects = false
    const planned = await call('parked', 'redrive', 'cache', '--dry-run')
    expect(lastLine(planned)).toMatchObject({ dryRun: true, selected: 2, redriven: 0 })
    const fed = await call('parked', 'redrive', 'cache', '--key', 'lamp')
    expect(fed.ending).toBe(0)
    expect(lastLine(fed)).toMatchObject({ selected: 1, redriven: 1 })
    const dropped = await call('parked', 'drop', 'cache', '--all')
    expect(lastLine(dropped)).toMatchObject({ keys: 1, changes: 1 })
    expect(await log.parking('cache').list()).toEqual([])
  }, 60_000)

  it('refuses to guess what is to be shown or dropped, and names what is not parked', async () => {
    expect((await call('parked', 'drop', 'cache')).ending).toBe(2)
    expect((await call('parked', 'show', 'cache', 'products')).ending).toBe(2)
    const unknown = await call('parked', 'skip', 'cache', 'products', 'sofa')
    expect(unknown.ending).toBe(1)
    expect(lastLine(unknown)).toMatchObject({ error: { code: 'PARKED_UNKNOWN' } })
  }, 60_000)
})

describe('headwater pause, set and drain', () => {
  it('steer a group, show it in status, and refuse what is not there', async () => {
    const paused = await call('pause', 'cache', '--partition', '1')
    expect(lastLine(paused)).toMatchObject({ group: 'cache', paused: false, pausedPartitions: [1] })
    const set = await call('set', 'cache', '--rate', '500')
    expect(lastLine(set)).toMatchObject({ changesPerSecond: 500, concurrency: null })
    const { stdout } = await headwater(['status', ...shop.at(namespace)])
    expect(stdout).toContain('cache: partitions 1 paused; at most 500 changes a second')
    const unknown = await call('pause', 'cahe')
    expect(lastLine(unknown)).toMatchObject({ error: { code: 'GROUP_UNKNOWN' } })
    expect(lastLine(await call('drain', 'nobody'))).toMatchObject({ error: { code: 'WORKER_UNKNOWN' } })
    expect((await call('set', 'cache')).ending).toBe(2)
  }, 60_000)
})
