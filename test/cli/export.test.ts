import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  compareStamps,
  connect,
  defineCollection,
  parsePosition,
  type Log,
  type Position,
} from '@headwater/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { counters } from './counters.config.ts'
import { headwater, lastLine } from './headwater.ts'
import { openShop, shop } from './opened-shop.ts'
import { product, products } from './shop.ts'

const config = fileURLToPath(new URL('shop.config.ts', import.meta.url))
const countersConfig = fileURLToPath(new URL('counters.config.ts', import.meta.url))

let folder: string

openShop()

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-export-test-'))
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
})

interface Exported {
  readonly records: number
  readonly positions: readonly Position[]
}

const recordsIn = (file: string): unknown[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown)

const sorted = (values: readonly unknown[]): string[] =>
  values
    .map((value) => JSON.stringify(value, (_, of: unknown) => (isObject(of) ? ordered(of) : of)))
    .toSorted()
const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const ordered = (value: object): object =>
  Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))

/** Does something again and again until it is stopped. */
function meanwhile(work: (round: number) => Promise<unknown>): () => Promise<void> {
  const stop = new AbortController()
  const working = (async () => {
    for (let round = 0; !stop.signal.aborted; round++) await work(round)
  })()
  return async () => {
    stop.abort()
    await working
  }
}

/** What the log says the collection was at these positions. */
async function stateAt(log: Log, positions: readonly Position[]): Promise<Map<string, unknown>> {
  const state = new Map<string, unknown>()
  for (const [partition, position] of positions.entries()) {
    for await (const change of log.read(partition)) {
      if (compareStamps(change.stamp, parsePosition(position)) > 0) break
      if (change.kind === 'delete') state.delete(change.key)
      else state.set(change.key, change.value)
    }
  }
  return state
}

describe('headwater export', () => {
  it('gives exactly what the log held at the positions that it names, while others write', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    await Promise.all(
      Array.from({ length: 3_000 }, (_, at) => log.append(products.put(product(`p${at}`, at)))),
    )
    const stop = meanwhile(async (round) => {
      const at = (round * 37) % 3_000
      await Promise.all([
        log.append(products.put(product(`p${at}`, -round))),
        log.append(products.delete(`p${(at + 1) % 3_000}`), { expected: 'any' }).catch(() => {}),
        log.append(products.put(product(`new${round}`))),
      ])
    })
    const file = join(folder, 'products.ndjson')
    const ended = await headwater(['export', 'products', file, '--json', ...shop.at(namespace)])
    await stop()
    expect(ended.ending).toBe(0)
    const { records, positions } = lastLine(ended) as Exported
    const found = recordsIn(file)
    expect(found).toHaveLength(records)
    expect(sorted(found)).toEqual(sorted([...(await stateAt(log, positions)).values()]))
  })

  it.each(['ndjson', 'csv'])('comes back by an import, as %s', async (format) => {
    const [from, to] = [shop.namespace(), shop.namespace()]
    const odd = { ...product('odd', -7), name: 'a "quoted", \r\n name\u2028 ' }
    await using log = await shop.connect(from)
    await Promise.all([odd, product('lamp'), product('desk')].map((of) => log.append(products.put(of))))
    const file = join(folder, `back.${format}`)
    const withConfig = ['--config', config, '--json']
    await headwater(['export', 'products', file, ...withConfig, ...shop.at(from)])
    const imported = await headwater(['import', 'products', file, ...withConfig, ...shop.at(to)])
    expect(lastLine(imported)).toMatchObject({ appended: 3, failed: 0 })
    await using copy = await shop.connect(to)
    expect((await copy.get(products, 'odd'))?.value).toEqual(odd)
    expect((await copy.get(products, 'desk'))?.value).toEqual(product('desk'))
  })

  it('gives the folded states of a decider, each with all of its events up to there', async () => {
    const namespace = shop.namespace()
    await using log = await connect(shop.server.url, { namespace, collections: [counters] })
    const stop = meanwhile((round) => log.decide(counters, `c${round % 50}`, 1))
    const file = join(folder, 'counters.ndjson')
    const args = ['export', 'counters', file, '--config', countersConfig, '--json']
    const { positions } = lastLine(await headwater([...args, ...shop.at(namespace)])) as Exported
    await stop()
    const events = new Map<string, number>()
    for (const [partition, position] of positions.entries()) {
      for await (const { key, stamp } of log.read(partition)) {
        if (compareStamps(stamp, parsePosition(position)) > 0) break
        events.set(key, (events.get(key) ?? 0) + 1)
      }
    }
    const sums = recordsIn(file).map((state) => (state as { sum: number }).sum)
    expect(sums.length).toBeGreaterThan(0)
    expect(sums.toSorted((a, b) => a - b)).toEqual([...events.values()].toSorted((a, b) => a - b))
  })

  it('writes to stdout, and says on stderr as of where', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    await log.append(products.put(product('lamp')))
    const ended = await headwater(['export', 'products', '--format', 'csv', ...shop.at(namespace)])
    expect(ended).toMatchObject({
      ending: 0,
      stdout: '"name","priceCents","sku"\n"Product lamp",900,"lamp"\n',
    })
    expect(ended.stderr).toMatch(/^Exported 1 records of products as of 0:\S+ 1:\S+ 2:\S+ 3:\S+ in/)
    const mixed = await headwater(['export', 'products', '--json', ...shop.at(namespace)])
    expect(mixed.ending).toBe(2)
  })

  it('refuses what it cannot give, and leaves no half of a file', async () => {
    const namespace = shop.namespace()
    const visits = defineCollection('visited', {
      schema: z.object({ id: z.string() }),
      key: ({ id }) => id,
      state: 'none',
    })
    await using _ = await connect(shop.server.url, { namespace, collections: [visits, products] })
    const target = join(folder, 'nothing')
    mkdirSync(target)
    writeFileSync(join(target, 'taken'), '')
    const [events, unknown, nowhere] = await Promise.all([
      headwater(['export', 'visited', join(target, 'a'), '--json', ...shop.at(namespace)]),
      headwater(['export', 'product', join(target, 'b'), '--json', ...shop.at(namespace)]),
      headwater(['export', 'products', join(target, 'taken', 'c'), '--json', ...shop.at(namespace)]),
    ])
    expect([events, unknown, nowhere].map(({ ending }) => ending)).toEqual([1, 1, 1])
    expect(lastLine(events)).toMatchObject({ error: { code: 'STATE_REQUIRED' } })
    expect(lastLine(unknown)).toMatchObject({
      error: {
        code: 'COLLECTION_UNKNOWN',
        message: expect.stringContaining('Did you mean products?') as string,
      },
    })
    expect(lastLine(nowhere)).toMatchObject({ error: { code: 'FILE_UNWRITABLE' } })
    expect(readdirSync(target)).toEqual(['taken'])
  })
})

describe('headwater import of CSV', () => {
  it('reads cells as the schema says, and reports the records that it refuses by their lines', async () => {
    const namespace = shop.namespace()
    const file = join(folder, 'some.csv')
    writeFileSync(file, 'sku,name,priceCents\nlamp,Lamp,900\ndesk,Desk,cheap\nbed,"Bed, wide",100\n"x"y,,\n')
    const args = ['import', 'products', file, '--on-error', 'continue', '--config', config, '--json']
    const ended = await headwater([...args, ...shop.at(namespace)])
    expect(ended.ending).toBe(1)
    expect(lastLine(ended)).toMatchObject({ appended: 2, failed: 2, failures: [{ line: 3 }, { line: 5 }] })
    await using log = await shop.connect(namespace)
    expect((await log.get(products, 'bed'))?.value).toEqual({
      sku: 'bed',
      name: 'Bed, wide',
      priceCents: 100,
    })
  })

  it('stops at the first bad record otherwise, and takes texts where no config says what they are', async () => {
    const namespace = shop.namespace()
    const at = shop.at(namespace)
    const input = 'sku,priceCents\nlamp,900\n"x"y,1\nbed,100\n'
    const args = ['import', 'products', '-', '--format', 'csv', '--key', 'sku', '--create', '--json']
    const ended = await headwater([...args, ...at], { input })
    expect(lastLine(ended)).toMatchObject({ records: 2, appended: 1, failed: 1 })
    const got = await headwater(['get', 'products', 'lamp', '--json', ...at])
    expect(lastLine(got)).toMatchObject({ value: { sku: 'lamp', priceCents: '900' } })
  })
})
