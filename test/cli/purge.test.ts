import { fileURLToPath } from 'node:url'
import { purgeIdempotencyRecords, setRetention, startWorker, trim } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { drained, partitionKeys } from '../worker/test-log.ts'
import { headwater, lastLine } from './headwater.ts'
import { openShopAndReplica, replica, shop } from './shop-and-replica.ts'
import { product, products } from './shop.ts'

const config = fileURLToPath(new URL('./shop.config.ts', import.meta.url))
let client: Redis

openShopAndReplica()

beforeAll(async () => {
  client = new Redis(shop.server.options)
})
afterAll(async () => {
  client.disconnect()
})

describe('headwater purge', () => {
  it('lets idempotency records go that are older than their window, and first says how many', async () => {
    const namespace = shop.namespace()
    const at = shop.at(namespace)
    await using log = await shop.connect(namespace)
    await log.append(products.put(product('lamp')), { idempotencyKey: 'one' })
    const window = 24 * 3_600_000
    /** As if so much time had passed. */
    const grow = async () => {
      for (let partition = 0; partition < log.partitions; partition++) {
        const { header } = partitionKeys(log, 'x', partition)
        const since = await client.hget(header, 'results-since')
        if (since !== null) await client.hset(header, 'results-since', Number(since) - window - 1)
      }
    }
    await grow()
    expect(await purgeIdempotencyRecords(log)).toBe(0)
    await grow()
    const purge = ['purge', 'idempotency-records', '--json', ...at]
    expect(lastLine(await headwater([...purge, '--window', '48h', '--dry-run']))).toEqual({
      dryRun: true,
      removed: 0,
    })
    expect(lastLine(await headwater([...purge, '--dry-run']))).toEqual({ dryRun: true, removed: 1 })
    const text = await headwater(['purge', 'idempotency-records', ...at])
    expect(text).toMatchObject({ ending: 0, stdout: '1 idempotency records removed\n', stderr: '' })
  })

  it('forgets no producer that was silent for less than an hour', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    await log.append(products.put(product('lamp')))
    const at = shop.at(namespace)
    const early = await headwater(['purge', 'producers', '--older-than', '1s', ...at])
    expect(early.ending).toBe(1)
    expect(early.stderr).toContain('OPTION_INVALID')
  })

  it('lets tombstones go once their delete is trimmed: beside the log, or in the sinks that are named', async () => {
    const namespace = shop.namespace()
    const at = shop.at(namespace)
    const target = new Redis(replica.options)
    const sink = redisSink({ client: target, collection: products, key: 'product:{key}' })
    await using log = await shop.connect(namespace)
    await setRetention(log, { retentionMs: 0 })
    for (const sku of ['lamp', 'desk']) await log.append(products.put(product(sku)))
    await log.append(products.delete('desk'))
    const worker = await startWorker(log, { groups: { cache: sink } })
    await drained(log, 'cache')
    await worker.stop()
    await trim(log)
    const env = { REPLICA_URL: replica.url }
    const purge = ['purge', 'tombstones', '--json', '--config', config, ...at]
    expect(lastLine(await headwater([...purge, 'cache', '--dry-run'], { env }))).toEqual({
      dryRun: true,
      removed: 1,
      groups: [{ group: 'cache', removed: 1 }],
    })
    const inSink = await headwater(['purge', 'tombstones', '--config', config, ...at, 'cache'], { env })
    expect(inSink.stdout).toBe('cache: 1 tombstones removed\n')
    expect(lastLine(await headwater([...purge, '--dry-run'], { env }))).toEqual({ dryRun: true, removed: 1 })
    expect(lastLine(await headwater(purge, { env }))).toEqual({ dryRun: false, removed: 1 })
    target.disconnect()
  })
})
