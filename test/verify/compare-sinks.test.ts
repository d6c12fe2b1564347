import { compareSinks, memorySink, startWorker, type AnySink } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openCopyServers, postgres, redis } from './copy-servers.ts'
import { memoryCopy, postgresCopy, redisCopy, type Copy } from './copies.ts'
import { itemsCollection, openLog, Traffic } from './shop.ts'

openCopyServers()

function withoutDigests(sink: AnySink): AnySink {
  const left = Object.entries(sink).filter(([name]) => name !== 'digest' && name !== 'listCells')
  return Object.fromEntries(left) as unknown as AnySink
}

describe('two copies of one log', () => {
  it.each(['by digests', 'row by row'])(
    'are equal while both are written, and differ in exactly what was done to one of them, %s',
    async (how) => {
      const items = itemsCollection()
      await using log = await openLog(redis, items)
      const one =
        how === 'by digests' ? redisCopy(items, redis.options, redis.namespacePrefix) : memoryCopy(items)
      const other: Copy = postgresCopy(items, postgres)
      const first = how === 'by digests' ? one.sink : withoutDigests(one.sink)
      try {
        await using worker = await startWorker(log, { groups: { one: one.sink, other: other.sink } })
        await Promise.all(
          Array.from({ length: 200 }, (_value, at) => log.append(items.put({ id: `item-${at}`, count: at }))),
        )
        await eventually(async () => {
          expect((await log.groups()).map(({ lag }) => lag)).toEqual(Array.from({ length: 8 }, () => 0))
        })
        const traffic = new Traffic(log, items)
        try {
          const shares: number[] = []
          const onProgress = (_: number, share: number) => void shares.push(share)
          const options = { timeoutMs: 20_000, onProgress }
          expect(await compareSinks(first, other.sink, options)).toMatchObject({ equal: true })
          expect(shares).toEqual(shares.toSorted((a, b) => a - b))
          expect([shares[0], shares.at(-1)]).toEqual([0, 1])
          await one.lose('item-3')
          await other.lose('item-4')
          await other.corrupt('item-5')
          await one.invent('stranger', 'item-6')
          const report = await compareSinks(first, other.sink, { timeoutMs: 2_000 })
          const found = new Map(report.differences.map(({ key, verdict }) => [key, verdict]))
          expect(found).toEqual(
            new Map([
              ['item-3', 'first-older'],
              ['item-4', 'second-older'],
              ['item-5', 'content'],
              ['stranger', 'second-older'],
            ]),
          )
          expect(report).toMatchObject({
            equal: false,
            counts: { content: 1, 'first-older': 1, 'second-older': 2 },
          })
        } finally {
          await traffic.stop()
        }
        await worker.stop()
      } finally {
        await Promise.all([one.close(), other.close()])
      }
    },
  )

  it('are not compared where they hold different collections', async () => {
    const [one, other] = [itemsCollection('items'), itemsCollection('others')]
    await expect(
      compareSinks(memorySink({ collection: one }), memorySink({ collection: other })),
    ).rejects.toMatchObject({ code: 'SINK_CONTRACT' })
  })
})
