import { repair, verify, type Sink } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { openCopyServers, redis, technologies } from './copy-servers.ts'
import { memoryCopy } from './copies.ts'
import { FollowedCopy } from './followed-copy.ts'
import { caughtUp, follow, itemsCollection, openLog, Traffic, type Item } from './shop.ts'

openCopyServers()

/** A log of 60 items and a copy that follows it and is equal. */
async function withCopy(technology: string, test: (given: FollowedCopy) => Promise<void>): Promise<void> {
  await using given = await FollowedCopy.open(technologies[technology]!)
  await given.fill(60)
  await test(given)
}

/** One fault of every kind. */
async function damage({ log, items, copy }: FollowedCopy): Promise<void> {
  const [old, deleted] = [await copy.save('item-10'), await copy.save('item-20')]
  await log.append(items.put({ id: 'item-10', count: 2 }))
  await log.append(items.delete('item-20'))
  await caughtUp(log)
  await old.putBack()
  await deleted.putBack()
  await copy.lose('item-30')
  await copy.corrupt('item-40')
  await copy.invent('stranger', 'item-50')
  await copy.tamper('item-59')
}

describe.each(Object.keys(technologies))('repair of a %s sink', (technology) => {
  it('mends every kind of fault under live traffic, and touches nothing else', () =>
    withCopy(technology, async (given) => {
      const { log, items, copy } = given
      const before = await copy.dump()
      await damage(given)
      const traffic = new Traffic(log, items)
      try {
        const report = await verify(log, copy.sink, { deep: true })
        const repaired = await repair(log, copy.sink, report, { foreign: 'remove' })
        expect(repaired).toMatchObject({ dryRun: false, mended: 6, left: 0, failed: 0 })
        expect(new Map(repaired.entries.map(({ key, action }) => [key, action]))).toEqual(
          new Map([
            ['item-10', 'write'],
            ['item-20', 'delete'],
            ['item-30', 'write'],
            ['item-40', 'write'],
            ['item-59', 'write'],
            ['stranger', 'forget'],
          ]),
        )
        expect(await verify(log, copy.sink, { deep: true })).toMatchObject({
          result: 'equal',
          differences: [],
        })
      } finally {
        await traffic.stop()
      }
      const after = await copy.dump()
      const touched = [...before].filter(([key, row]) => after.get(key) !== row).map(([key]) => key)
      // Exactly those that were changed in the log.
      expect(touched.toSorted()).toEqual(['item-10', 'item-20'])
      expect(after.has('stranger')).toBe(false)
    }))

  it('says in a dry run what it would do, with samples, and does nothing', () =>
    withCopy(technology, async (given) => {
      const { log, copy } = given
      await damage(given)
      const before = await copy.dump()
      const report = await verify(log, copy.sink, { deep: true })
      const planned = await repair(log, copy.sink, report, { dryRun: true, samples: 100 })
      expect(planned).toMatchObject({ dryRun: true, mended: 5, left: 1, failed: 0 })
      expect(planned.entries.find(({ key }) => key === 'item-10')).toMatchObject({
        verdict: 'stale',
        action: 'write',
        outcome: 'planned',
        before: { id: 'item-10', count: 1 },
        after: { id: 'item-10', count: 2 },
      })
      expect(await copy.dump()).toEqual(before)
    }))

  it('lets foreign keys stay, or enter the log', () =>
    withCopy(technology, async ({ log, items, copy }) => {
      await copy.invent('stranger', 'item-1')
      const report = await verify(log, copy.sink)
      expect(await repair(log, copy.sink, report)).toMatchObject({ mended: 0, left: 1 })
      expect((await verify(log, copy.sink)).counts.foreign).toBe(1)
      // Its value says that it is somebody else.
      const refused = await repair(log, copy.sink, report, { foreign: 'adopt' })
      expect(refused).toMatchObject({ mended: 0, failed: 1 })
      expect(refused.entries[0]?.error).toMatch(/is of the key "item-1"/)
      expect(await log.get(items, 'stranger')).toBeUndefined()

      // A key that the log lost: its bookkeeping says a stamp that the log has never given.
      const [key, orphan] = ['orphan', { id: 'orphan', count: 5 }]
      const [held] = await copy.sink.read!(['item-2'])
      const change = { ...fakeChange(key, orphan), stamp: { epoch: 9, sequence: 9 }, hash: held!.hash }
      await copy.sink.replace!([{ key, partition: 0, observed: undefined, change }])
      const found = await verify(log, copy.sink)
      expect(found.differences.map((each) => each.key).toSorted()).toEqual(['orphan', 'stranger'])
      const adopted = await repair(log, copy.sink, found, { foreign: 'adopt' })
      expect(adopted).toMatchObject({ mended: 1, failed: 1 })
      expect((await log.get(items, key))?.value).toEqual(orphan)
      const after = await verify(log, copy.sink, { deep: true })
      expect(after.differences.map((each) => each.key)).toEqual(['stranger'])
    }))
})

describe('repair', () => {
  it('judges each key again, and leaves alone what is equal by now', () =>
    withCopy('memory', async ({ log, items, copy }) => {
      await copy.corrupt('item-1')
      await copy.corrupt('item-2')
      const report = await verify(log, copy.sink)
      await log.append(items.put({ id: 'item-1', count: 3 }))
      await caughtUp(log)
      expect(await repair(log, copy.sink, report)).toMatchObject({ mended: 1, left: 1, failed: 0 })
    }))

  it('never writes over what came between its look and its write', () =>
    withCopy('memory', async ({ log, items, copy }) => {
      await copy.corrupt('item-1')
      const report = await verify(log, copy.sink)
      let writes = 0
      const racing: Sink<Item> = {
        ...copy.sink,
        async replace(replacements) {
          writes++
          await log.append(items.put({ id: 'item-1', count: 9 }))
          await caughtUp(log)
          return await copy.sink.replace!(replacements)
        },
      }
      // It finds that somebody wrote; then, that there is nothing left to do.
      expect(await repair(log, racing, report)).toMatchObject({ mended: 0, left: 1, failed: 0 })
      expect(writes).toBe(1)
      expect((await copy.sink.read!(['item-1']))[0]?.value).toMatchObject({ count: 9 })
    }))

  it('goes on where it was interrupted', () =>
    withCopy('memory', async ({ log, copy }) => {
      const ids = Array.from({ length: 30 }, (_, at) => `item-${at}`)
      await Promise.all(ids.map((id) => copy.corrupt(id)))
      const report = JSON.parse(JSON.stringify(await verify(log, copy.sink))) as Awaited<
        ReturnType<typeof verify>
      >
      const stop = new AbortController()
      const onProgress = (done: number): void => void (done >= 10 && stop.abort(new Error('enough')))
      const options = { keysPerSecond: 100, signal: stop.signal, onProgress }
      await expect(repair(log, copy.sink, report, options)).rejects.toThrow('enough')
      expect((await verify(log, copy.sink)).counts.corrupt).toBe(20)
      expect(await repair(log, copy.sink, report)).toMatchObject({ mended: 20, left: 10 })
      expect((await verify(log, copy.sink)).result).toBe('equal')
    }))

  it('keeps to its rate', () =>
    withCopy('memory', async ({ log, copy }) => {
      const ids = Array.from({ length: 30 }, (_, at) => `item-${at}`)
      await Promise.all(ids.map((id) => copy.corrupt(id)))
      const report = await verify(log, copy.sink)
      const began = performance.now()
      await repair(log, copy.sink, report, { keysPerSecond: 60 })
      expect(performance.now() - began).toBeGreaterThan((20 / 60) * 1_000)
    }))

  it('mends from the log itself where no values are kept beside it', async () => {
    const items = itemsCollection('items', 'versions')
    await using log = await openLog(redis, items)
    const copy = memoryCopy(items)
    const worker = await follow(log, copy.sink)
    await log.append(items.put({ id: 'a', count: 1 }))
    await caughtUp(log)
    await copy.tamper('a')
    const report = await verify(log, copy.sink, { deep: true })
    expect(await repair(log, copy.sink, report)).toMatchObject({ mended: 1 })
    expect((await verify(log, copy.sink, { deep: true })).result).toBe('equal')
    await worker.stop()
  })

  it('refuses sinks that cannot replace, and options that mean nothing', () =>
    withCopy('memory', async ({ log, copy }) => {
      const report = await verify(log, copy.sink)
      const blind = { ...copy.sink, replace: undefined } as unknown as Sink<Item>
      await expect(repair(log, blind, report)).rejects.toMatchObject({ code: 'SINK_CONTRACT' })
      await expect(repair(log, copy.sink, report, { keysPerSecond: 0 })).rejects.toMatchObject({
        code: 'OPTION_INVALID',
      })
      await expect(repair(log, copy.sink, report, { foreign: 'burn' as 'keep' })).rejects.toMatchObject({
        code: 'OPTION_INVALID',
      })
    }))
})

function fakeChange(key: string, value: Item) {
  return {
    collection: 'items',
    key,
    kind: 'put' as const,
    partition: 0,
    bucket: 0,
    position: '0:9-9' as never,
    version: '1' as never,
    schemaVersion: 1,
    time: 0,
    payload: JSON.stringify({ count: value.count, id: value.id }),
    value,
    metadata: {},
  }
}
