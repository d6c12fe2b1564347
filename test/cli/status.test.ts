import {
  applied,
  HeadwaterError,
  memorySink,
  reject,
  startWorker,
  type Log,
  type Sink,
} from '@headwater/core'
import { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { headwater, lastLine } from './headwater.ts'
import { openShop, shop } from './opened-shop.ts'
import { product, products } from './shop.ts'

openShop()

const refusal = new HeadwaterError('SINK_REJECTED', 'Not this one.')

/** A sink that takes everything but one key. */
function pickySink(rejected: string): Sink {
  const memory = memorySink({ collection: products })
  return {
    ...memory,
    open: async (options) => ({
      ...(await memory.open(options)),
      apply: async (changes) => changes.map(({ key }) => (key === rejected ? reject(refusal) : applied)),
    }),
  }
}

async function appendAndApply(log: Log): Promise<void> {
  await using _ = await startWorker(log, { groups: { cache: pickySink('desk') } })
  for (const sku of ['lamp', 'desk', 'chair']) {
    const { position } = await log.append(products.put(product(sku)))
    await log.whenApplied(position, { group: 'cache' })
  }
}

describe('headwater status', () => {
  it('shows each partition of each group as the log knows it, without any config', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    await appendAndApply(log)
    await log.append(products.put(product('shelf')))
    const ended = await headwater(['status', '--json', ...shop.at(namespace)])
    expect(ended).toMatchObject({ ending: 0, stderr: '' })
    const groups = await log.groups()
    expect(lastLine(ended)).toEqual({
      namespace,
      partitions: 4,
      tooLarge: [],
      steering: { groups: {}, drained: {} },
      collections: [
        { name: 'products', state: 'values', partitionKey: false, decider: false },
        { name: 'visits', state: 'values', partitionKey: true, decider: false },
      ],
      groups: groups.map((group) => ({
        ...group,
        owner: null,
        copying: null,
        damage: null,
        standstill: null,
        scrub: { completedMsAgo: null, passes: 0, keys: 0, found: 0, current: null },
        proof: { verifiedUpTo: null, verifiedMsAgo: null, latest: null, reason: null },
      })),
    })
    expect(groups.map(({ lag }) => lag)).toContain(1)
    expect(groups.filter(({ parked }) => parked === 1)).toHaveLength(1)
  })

  it('names the owners while a worker runs, and what is damaged', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    await appendAndApply(log)
    await using worker = await startWorker(log, { groups: { cache: pickySink('') }, name: 'till' })
    const { position } = await log.append(products.put(product('lamp')))
    await log.whenApplied(position, { group: 'cache' })
    const redis = new Redis(shop.server.options)
    await redis.hset(`headwater:{${namespace}:2}:group:cache`, 'damage', 'Sequence 7 is gone.')
    redis.disconnect()

    const { ending, stdout } = await headwater(['status', ...shop.at(namespace)])
    expect(ending).toBe(0)
    const [summary, titles, ...rows] = stdout.trimEnd().split('\n')
    expect(summary).toBe(`${namespace}: 4 partitions; collections products, visits`)
    expect(titles?.split(/ +/)).toEqual(
      'group partition owner checkpoint lag pending parked verified damage'.split(' '),
    )
    expect(rows).toHaveLength(5)
    expect(rows.filter((row) => row.includes(worker.name)).length).toBeGreaterThan(0)
    expect(rows[2]).toMatch(/^cache +2 .* damaged$/)
    expect(rows[4]).toBe('cache/2: Sequence 7 is gone.')
    expect(stdout).not.toContain('\u001B')
  })

  it('shows up to where a copy is proven equal and since when, and where it is proven different', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const copy = memorySink({ collection: products })
    const rows = (copy.target as unknown as { rows: Map<string, unknown> }).rows
    const worker = await startWorker(log, { groups: { cache: copy }, markEveryMs: 100 })
    const proofs = async () => (await log.groups()).map(({ proof }) => proof)
    const statusRows = async () => {
      const { stdout } = await headwater(['status', ...shop.at(namespace)])
      const [, titles, ...lines] = stdout.trimEnd().split('\n')
      const at = titles!.indexOf('verified')
      return { cells: lines.slice(0, 4).map((line) => line.slice(at).trim()), doubts: lines.slice(4) }
    }

    const skus = ['lamp', ...Array.from({ length: 200 }, (_, at) => `product-${at}`)]
    await Promise.all(skus.map((sku) => log.append(products.put(product(sku)))))
    const ends = await eventually(async () => {
      const last = await Promise.all([0, 1, 2, 3].map((partition) => log.end(partition)))
      expect(await proofs()).toMatchObject(last.map((end) => ({ verifiedUpTo: end, latest: 'equal' })))
      return last
    })
    const { cells, doubts } = await statusRows()
    expect(cells.map((cell) => cell.replace(/, \d+(\.\d)? s ago$/, ''))).toEqual(ends)
    expect(doubts).toEqual([])
    const { groups } = lastLine(await headwater(['status', '--json', ...shop.at(namespace)])) as {
      groups: { proof: { verifiedMsAgo: number } }[]
    }
    expect(groups).toMatchObject(
      ends.map((end) => ({ proof: { verifiedUpTo: end, latest: 'equal', reason: null } })),
    )
    for (const { proof } of groups) expect(proof.verifiedMsAgo).toBeGreaterThanOrEqual(0)

    rows.delete('lamp')
    await Promise.all(skus.slice(1).map((sku) => log.append(products.put(product(sku, 1)))))
    await eventually(async () => {
      expect((await proofs()).filter(({ latest }) => latest === 'different')).toHaveLength(1)
    })
    await worker.stop()
    const later = await statusRows()
    expect(later.cells.filter((cell) => cell === 'different')).toHaveLength(1)
    expect(later.doubts).toEqual([expect.stringMatching(/^cache\/\d differs: /)])
  })

  it('says so when there is no group yet', async () => {
    const namespace = shop.namespace()
    await using _ = await shop.connect(namespace)
    const { ending, stdout } = await headwater(['status', ...shop.at(namespace)])
    expect(ending).toBe(0)
    expect(stdout).toContain('No group is registered')
  })
})
