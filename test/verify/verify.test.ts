import { EventEmitter, once } from 'node:events'
import {
  connect,
  defineCollection,
  memorySink,
  reject,
  repair,
  verify,
  HeadwaterError,
  type Sink,
  type SinkValue,
} from '@headwater/core'
import { describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { openCopyServers, redis, technologies } from './copy-servers.ts'
import { memoryCopy, redisCopy } from './copies.ts'
import { FollowedCopy } from './followed-copy.ts'
import { caughtUp, follow, itemsCollection, openLog, Traffic, type Item } from './shop.ts'

openCopyServers()

describe.each(Object.keys(technologies))('verify of a %s sink', (technology) => {
  it('finds a fault of every kind with its verdict, under live traffic, and nothing else', async () => {
    await using given = await FollowedCopy.open(technologies[technology]!)
    const { log, items, copy } = given
    await given.fill(300, () => ({ count: 1, note: 'ünï ✓' }))
    const old = await copy.save('item-10')
    const deleted = await copy.save('item-20')
    await log.append(items.put({ id: 'item-10', count: 2 }))
    await log.append(items.delete('item-20'))
    await log.append(items.delete('item-21'))
    await caughtUp(log)
    const traffic = new Traffic(log, items)
    try {
      await old.putBack()
      await deleted.putBack()
      await copy.lose('item-30')
      await copy.corrupt('item-40')
      await copy.invent('stranger', 'item-50')
      await copy.tamper('item-60')

      const shallow = await verify(log, copy.sink)
      const expected = new Map([
        ['item-10', 'stale'],
        ['item-20', 'stale'],
        ['item-30', 'missing'],
        ['item-40', 'corrupt'],
        ['stranger', 'foreign'],
      ])
      expect(verdictsOf(shallow)).toEqual(expected)
      expect(shallow).toMatchObject({ result: 'different', equal: false })
      expect(shallow.counts).toEqual({ behind: 0, stale: 2, missing: 1, corrupt: 1, foreign: 1 })

      expect(verdictsOf(await verify(log, copy.sink, { digests: false }))).toEqual(expected)
      const deep = await verify(log, copy.sink, { deep: true })
      expect(verdictsOf(deep)).toEqual(new Map([...expected, ['item-60', 'corrupt']]))
      // Otherwise nothing was written while it looked.
      const written = traffic.written
      await eventually(() => expect(traffic.written).toBeGreaterThan(written))
    } finally {
      await traffic.stop()
    }
  })

  it('raises no false alarm while every key changes all the time', async () => {
    await using given = await FollowedCopy.open(technologies[technology]!)
    const { log, items, copy } = given
    await log.append(items.put({ id: 'first', count: 1 }))
    await caughtUp(log)
    const traffic = new Traffic(log, items)
    try {
      for (let round = 0; round < 4; round++) {
        const { result, differences } = await verify(log, copy.sink, { deep: round % 2 === 1 })
        expect({ result, differences }).toEqual({ result: 'equal', differences: [] })
      }
    } finally {
      await traffic.stop()
    }
    await caughtUp(log)
    const ends = await Promise.all(
      Array.from({ length: log.partitions }, (_, partition) => log.end(partition)),
    )
    const { result, checked, upTo } = await verify(log, copy.sink, { deep: true })
    expect(upTo).toEqual(ends)
    expect({ result, isFull: checked > 10 }).toEqual({ result: 'equal', isFull: true })
  })
})

describe('verify', () => {
  it('calls what a stopped worker has not reached behind, and decides nothing', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const sink = memorySink({ collection: items })
    const worker = await follow(log, sink)
    await log.append(items.put({ id: 'a', count: 1 }))
    await caughtUp(log)
    await worker.stop()
    await log.append(items.put({ id: 'a', count: 2 }))
    await log.append(items.put({ id: 'b', count: 1 }))
    const report = await verify(log, sink, { timeoutMs: 100 })
    expect(report).toMatchObject({
      result: 'undecided',
      equal: false,
      counts: { behind: 2, stale: 0, missing: 0 },
    })
  })

  it('tells a difference also while other keys are behind', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const copy = memoryCopy(items)
    const worker = await follow(log, copy.sink)
    await log.append(items.put({ id: 'a', count: 1 }))
    await caughtUp(log)
    await worker.stop()
    await copy.corrupt('a')
    await log.append(items.put({ id: 'b', count: 1 }))
    expect(await verify(log, copy.sink, { timeoutMs: 100 })).toMatchObject({
      result: 'different',
      counts: { behind: 1, corrupt: 1 },
    })
  })

  it('waits for keys that are only late', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const gate = new EventEmitter()
    const opened = once(gate, 'open')
    const inner = memorySink({ collection: items })
    const slow: Sink<Item> = {
      ...inner,
      async open(options) {
        const partition = await inner.open(options)
        return {
          ...partition,
          async apply(...call) {
            await opened
            return await partition.apply(...call)
          },
        }
      },
    }
    await using _ = await follow(log, slow)
    await log.append(items.put({ id: 'a', count: 1 }))
    const verifying = verify(log, slow, { onProgress: () => {} })
    await log.append(items.put({ id: 'b', count: 1 }))
    gate.emit('open')
    expect(await verifying).toMatchObject({ result: 'equal' })
  })

  it('tells which share of the work is done, up to all of it', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const sink = memorySink({ collection: items })
    await using _ = await follow(log, sink)
    await Promise.all(
      Array.from({ length: 1_500 }, (_, at) => log.append(items.put({ id: `${at}`, count: at }))),
    )
    expect(await verify(log, sink)).toMatchObject({ equal: true })
    const shares: number[] = []
    const options = { digests: false, onProgress: (_: number, share: number) => void shares.push(share) }
    expect(await verify(log, sink, options)).toMatchObject({ equal: true, checked: 1_500 })
    expect(shares.length).toBeGreaterThan(2)
    expect(shares).toEqual(shares.toSorted((a, b) => a - b))
    expect(shares[0]).toBeLessThan(1)
    expect(shares.at(-1)).toBe(1)
  })

  it('tells it by digests too, row by row at first, and never goes back for what it finds', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const copy = redisCopy(items, redis.options, redis.namespacePrefix)
    onTestFinished(() => copy.close())
    await using _ = await follow(log, copy.sink)
    const ids = Array.from({ length: 12_000 }, (_, at) => `${at}`)
    await Promise.all(ids.map((id) => log.append(items.put({ id, count: 1 }))))
    await caughtUp(log)
    const verifyTold = async () => {
      const steps: { readonly checked: number; readonly share: number }[] = []
      const report = await verify(log, copy.sink, {
        onProgress: (checked, share) => void steps.push({ checked, share }),
      })
      const shares = steps.map(({ share }) => share)
      expect(shares).toEqual(shares.toSorted((a, b) => a - b))
      expect(steps[0]).toEqual({ checked: 0, share: 0 })
      expect(steps.some(({ checked, share }) => checked > 0 && checked < 12_000 && share < 0.5)).toBe(true)
      expect(steps.at(-1)).toEqual({ checked: 12_000, share: 1 })
      return { report, steps }
    }
    const equal = await verifyTold()
    expect(equal.report).toMatchObject({ equal: true, checked: 12_000 })
    for (const id of ids.slice(0, 3)) await copy.corrupt(id)
    const different = await verifyTold()
    expect(different.report).toMatchObject({ result: 'different', counts: { corrupt: 3 } })
    expect(different.steps.length).toBeGreaterThan(equal.steps.length)
  })

  it('does not compare parked keys, and counts them', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const inner = memorySink({ collection: items })
    const picky: Sink<Item> = {
      ...inner,
      async open(options) {
        const partition = await inner.open(options)
        return {
          ...partition,
          async apply(changes, position, call) {
            const fine = changes.filter(({ key }) => key !== 'poison')
            const outcomes = fine.length > 0 ? [...(await partition.apply(fine, position, call))] : []
            return changes.map(({ key }) =>
              key === 'poison' ? reject(new HeadwaterError('SINK_REJECTED', 'Never.')) : outcomes.shift()!,
            )
          },
        }
      },
    }
    await using _ = await follow(log, picky)
    await log.append(items.put({ id: 'poison', count: 1 }))
    await log.append(items.put({ id: 'fine', count: 1 }))
    await caughtUp(log)
    expect(await verify(log, picky)).toMatchObject({ result: 'equal', checked: 1, parked: 1 })
  })

  it('counts every difference, and lists as many as asked for', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const copy = memoryCopy(items)
    await using _ = await follow(log, copy.sink)
    const ids = Array.from({ length: 30 }, (_, at) => `item-${at}`)
    await Promise.all(ids.map((id) => log.append(items.put({ id, count: 1 }))))
    await caughtUp(log)
    await Promise.all(ids.map((id) => copy.corrupt(id)))
    const report = await verify(log, copy.sink, { listed: 10 })
    expect([report.counts.corrupt, report.differences.length]).toEqual([30, 10])
  })

  it('finds hashes that were forged to make up for each other when it compares every row', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const sink = memorySink({ collection: items })
    await using _ = await follow(log, sink)
    const ids = Array.from({ length: 400 }, (_item, at) => `item-${at}`)
    await Promise.all(ids.map((id) => log.append(items.put({ id, count: 1 }))))
    await caughtUp(log)
    const { rows } = sink.target as unknown as { rows: Map<string, ForgedRow> }
    const [one, ...others] = [...rows.values()]
    const two = others.find(({ partition, bucket }) => partition === one!.partition && bucket === one!.bucket)
    rows.set(one!.key, { ...one!, hash: one!.hash + 1n })
    rows.set(two!.key, { ...two!, hash: two!.hash - 1n })
    expect((await verify(log, sink)).result).toBe('equal')
    expect((await verify(log, sink, { digests: false })).counts.corrupt).toBe(2)
  })

  it.each([
    ['as they are', undefined],
    ['through upcasters', { 1: (old: Item) => ({ ...old, note: `was ${old.count}` }) }],
  ])(
    'knows values that were stored under an earlier schema version and are read %s',
    async (how, upcasters) => {
      const older = itemsCollection()
      const namespace = `${redis.namespacePrefix}evolving-${process.pid}-${how.length}`
      const first = await connect(redis.options, { namespace, collections: [older], partitions: 1 })
      await first.append(older.put({ id: 'old', count: 1 }))
      await first.append(older.put({ id: 'tampered', count: 1 }))
      await first.close()
      const newer = defineCollection('items', {
        schema: z.object({ id: z.string(), count: z.int(), note: z.string().optional() }),
        key: (item) => item.id,
        schemaVersion: 2,
        ...(upcasters && { upcast: upcasters }),
      })
      await using log = await connect(redis.options, { namespace, collections: [newer] })
      const copy = memoryCopy(newer)
      await using _ = await follow(log, copy.sink)
      await log.append(newer.put({ id: 'new', count: 1 }))
      await caughtUp(log)
      expect(await verify(log, copy.sink, { deep: true })).toMatchObject({ result: 'equal', checked: 3 })
      await copy.tamper('tampered')
      const report = await verify(log, copy.sink, { deep: true })
      expect(verdictsOf(report)).toEqual(new Map([['tampered', 'corrupt']]))
      await repair(log, copy.sink, report)
      expect((await verify(log, copy.sink, { deep: true })).result).toBe('equal')
    },
  )

  it.each([
    ['that no JSON can say', (): unknown => ({ id: 'a', count: Number.NaN })],
    ['that is gone', (): unknown => undefined],
    ['that is no more than a Date', (): unknown => new Date(0)],
  ])('calls a value %s corrupt when it looks deep', async (_what, value) => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const sink = memorySink({ collection: items })
    await using _ = await follow(log, sink)
    await log.append(items.put({ id: 'a', count: 1 }))
    await caughtUp(log)
    const tampered: Sink<Item> = {
      ...sink,
      read: async (keys) => (await sink.read!(keys)).map((held) => held && { ...held, value: value() }),
    }
    expect(await verify(log, tampered, { group: 'copy' })).toMatchObject({ result: 'equal' })
    const { counts } = await verify(log, tampered, { group: 'copy', deep: true })
    expect(counts.corrupt).toBe(1)
  })

  it('finds a value in a table that has no key', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const copy = memoryCopy(items)
    await using _ = await follow(log, copy.sink)
    await log.append(items.put({ id: 'a', count: 1 }))
    await caughtUp(log)
    await copy.invent('', 'a')
    const { differences } = await verify(log, copy.sink)
    expect(differences.map(({ key, verdict }) => [key, verdict])).toEqual([['', 'foreign']])
  })

  it('refuses a sink that it cannot look into, a collection it does not know, and a group that is not there', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const blind = {
      ...memorySink({ collection: items }),
      list: undefined,
      read: undefined,
    } as unknown as Sink<Item>
    await expect(verify(log, blind)).rejects.toMatchObject({ code: 'SINK_CONTRACT' })
    await expect(verify(log, memorySink({ collection: itemsCollection('others') }))).rejects.toMatchObject({
      code: 'COLLECTION_UNKNOWN',
    })
    await expect(verify(log, memorySink({ collection: items }))).rejects.toMatchObject({
      code: 'GROUP_UNKNOWN',
    })
    await expect(verify(log, memorySink({ collection: items }), { group: 'nobody' })).rejects.toMatchObject({
      code: 'GROUP_UNKNOWN',
    })
  })
})

function verdictsOf({ differences }: Awaited<ReturnType<typeof verify>>): Map<string, string> {
  return new Map(differences.map(({ key, verdict }) => [key, verdict]))
}

interface ForgedRow extends SinkValue {
  readonly partition: number
  readonly bucket: number
}
