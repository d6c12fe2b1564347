import { randomUUID } from 'node:crypto'
import { connect, repair, startWorker, verify, type Collection, type Log } from '@headwater/core'
import { startCluster, startRedis, type RedisCluster, type RedisServer } from '@headwater/local-servers'
import { redisSink } from '@headwater/redis'
import { Cluster } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { clusterKeys } from '../../../packages/adapters/redis/src/redis-keys.ts'
import { eventually } from '../../support/eventually.ts'
import { caughtUp, itemsCollection, Traffic, type Item } from '../../verify/shop.ts'

let cluster: RedisCluster
let server: RedisServer
let client: Cluster

beforeAll(async () => {
  ;[cluster, server] = await Promise.all([startCluster(), startRedis()])
  client = new Cluster(cluster.addresses)
})

afterAll(async () => {
  client.disconnect()
  await Promise.all([cluster.stop(), server.stop()])
})

/** With one partition: each look at one asks all the slots. */
function openLog(items: Collection<Item>): Promise<Log> {
  const namespace = `${server.namespacePrefix}${randomUUID()}`
  return connect(server.options, { namespace, collections: [items], partitions: 1 })
}

describe('a copy on a Cluster, each slot with rows of its own', () => {
  it('is proven by digests and at markers under traffic, and what a node lost is found and mended', async () => {
    const items = itemsCollection()
    await using log = await openLog(items)
    const prefix = `sink:${randomUUID()}`
    const dataKey = (id: string): string => `${prefix}-${id}`
    const sink = redisSink({ client, collection: items, key: dataKey, prefix })
    /** What its first check comes to; the next would follow only when it has rested for twenty times as long. */
    const firstCheck = async (): Promise<string | undefined> => {
      await using worker = await startWorker(log, { groups: { copy: sink }, markEveryMs: 100 })
      await caughtUp(log)
      return await eventually(
        () => {
          const { state } = worker.health().groups['copy']!.proof
          expect(state).not.toBe('pending')
          return state
        },
        { timeoutMs: 20_000 },
      )
    }
    const ids = Array.from({ length: 300 }, (_, at) => `item-${at}`)
    await Promise.all(ids.map((id, count) => log.append(items.put({ id, count }))))
    const traffic = new Traffic(log, items)
    const lost = ['item-3', 'item-30', 'item-200']
    try {
      expect(await firstCheck()).toBe('verified')
      for (const id of lost) {
        await client.hdel(clusterKeys(prefix).placeOf(dataKey(id)).rows, dataKey(id))
        await client.del(dataKey(id))
      }
      // Nothing is kept beside the rows that would still speak for what is not there any more.
      expect(await firstCheck()).toBe('different')
      await using _ = await startWorker(log, { groups: { copy: sink } })
      const report = await verify(log, sink, { timeoutMs: 20_000 })
      expect(report.counts).toMatchObject({ missing: 3, stale: 0, corrupt: 0, foreign: 0 })
      expect(report.differences.map(({ key }) => key).toSorted()).toEqual(lost.toSorted())
      expect(await repair(log, sink, report)).toMatchObject({ mended: 3 })
      expect(await verify(log, sink, { timeoutMs: 20_000 })).toMatchObject({ result: 'equal' })
    } finally {
      await traffic.stop()
    }
  }, 60_000)

  it('lists the rows of many cells as it does those of a few', async () => {
    const items = itemsCollection()
    await using log = await openLog(items)
    const prefix = `sink:${randomUUID()}`
    const sink = redisSink({ client, collection: items, key: (id) => `${prefix}-${id}`, prefix })
    await using _ = await startWorker(log, { groups: { copy: sink } })
    const ids = Array.from({ length: 200 }, (_value, at) => `item-${at}`)
    await Promise.all(ids.map((id, count) => log.append(items.put({ id, count }))))
    await caughtUp(log)
    const cells = await sink.digest!({ depth: 1 })
    expect(cells.length).toBeGreaterThan(50)
    const keysOf = async (some: typeof cells): Promise<string[]> => {
      const keys: string[] = []
      for await (const { key } of sink.listCells!({ depth: 1, cells: some })) keys.push(key)
      return keys
    }
    expect((await keysOf(cells)).toSorted()).toEqual(ids.toSorted())
    const few = cells.slice(0, 3)
    expect(await keysOf(few)).toHaveLength(few.reduce((sum, { count }) => sum + count, 0))
    const within = await sink.digest!({ depth: 2, within: cells.slice(0, 40) })
    const count = cells.slice(0, 40).reduce((sum, cell) => sum + cell.count, 0)
    expect(within.reduce((sum, cell) => sum + cell.count, 0)).toBe(count)
  })
})
