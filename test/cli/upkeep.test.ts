import { fileURLToPath } from 'node:url'
import { setRetention, startWorker } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { drained } from '../worker/test-log.ts'
import { Call, headwater, lastLine } from './headwater.ts'
import { openShopAndReplica, replica, shop } from './shop-and-replica.ts'
import { product, products } from './shop.ts'

const config = fileURLToPath(new URL('./upkeep.config.ts', import.meta.url))

openShopAndReplica()

describe('headwater upkeep', () => {
  it('runs what the config schedules, tells how runs end, and stops at SIGTERM with 0', async () => {
    const namespace = shop.namespace()
    const client = new Redis(replica.options)
    await using log = await shop.connect(namespace)
    await setRetention(log, { retentionMs: 0 })
    await log.append(products.put(product('lamp')))
    const cache = redisSink({ client, collection: products, key: 'product:{key}' })
    const worker = await startWorker(log, { groups: { cache } })
    await drained(log, 'cache')
    await worker.stop()
    const env = { REPLICA_URL: replica.url }
    const call = new Call(['upkeep', config, '--json', ...shop.at(namespace)], { env })
    await call.says('"event":"upkeep-ran","task":"trim"')
    await call.says('"event":"upkeep-ran","task":"verify","group":"cache"')
    let left = 0
    for (let partition = 0; partition < log.partitions; partition++)
      for await (const change of log.read(partition)) left += change.stamp.sequence
    expect(left).toBe(0)
    call.process.kill('SIGTERM')
    const ended = await call.ended()
    expect(ended.ending).toBe(0)
    expect(lastLine(ended)).toEqual({ namespace, signal: 'SIGTERM', seconds: expect.any(Number) as number })
    client.disconnect()
  })

  it('asks for a config with upkeep where it has none', async () => {
    const ended = await headwater(['upkeep', ...shop.at('x')])
    expect(ended).toMatchObject({ ending: 2, stdout: '' })
    expect(ended.stderr).toContain('Which upkeep?')
  })
})
