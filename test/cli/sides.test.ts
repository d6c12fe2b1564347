import { fileURLToPath } from 'node:url'
import { connect, nodeSets, noVersions, startWorker, writeVersion, type Log } from '@headwater/core'
import { redisNode, redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { everyLine, headwater, lastLine, type Ended } from './headwater.ts'
import { product, products, Shop } from './shop.ts'

const config = fileURLToPath(new URL('./sides.config.ts', import.meta.url))
let shop: Shop
let replica: Shop
let client: Redis
let namespace: string
let log: Log

beforeAll(async () => {
  ;[shop, replica] = await Promise.all([Shop.open(), Shop.open()])
  client = new Redis(replica.server.options)
  namespace = shop.namespace()
  log = await connect(shop.server.url, { namespace, collections: [products, nodeSets], partitions: 2 })
  await log.append(nodeSets.put({ name: 'shops', weights: { eu: 1, us: 2 }, read: 2, write: 2 }))
  const copy = (name: string) =>
    redisSink({ client, collection: products, key: `${name}:{key}`, prefix: `sink-${name}` })
  await using _ = await startWorker(log, { groups: { one: copy('one'), two: copy('two') } })
  const nodes = ['eu', 'us'].map((name) => redisNode({ name, client, key: `node-${name}` }))
  for (const [at, sku] of ['lamp', 'desk', 'chair'].entries()) {
    const { position } = await log.append(products.put(product(sku)))
    for (const group of ['one', 'two']) await log.whenApplied(position, { group })
    const version = { site: 'eu', stamp: { epoch: 1, sequence: at + 1 }, time: { ms: at, counter: 0 } }
    const held = writeVersion<unknown>(noVersions, { ...version, value: product(sku) })
    for (const node of nodes) await node.write(sku, undefined, held)
  }
})

afterAll(async () => {
  await log.close()
  for (const key of ['node-eu', 'node-us', 'two:lamp', 'one:lamp']) await client.unlink(key)
  client.disconnect()
  await Promise.all([shop[Symbol.asyncDispose](), replica[Symbol.asyncDispose]()])
})

function call(...args: readonly string[]): Promise<Ended> {
  return headwater([...args, '--config', config, '--json', ...shop.at(namespace)], {
    env: { REPLICA_URL: replica.server.url },
  })
}

describe('headwater verify and diff of two sides', () => {
  it('compare a sink, a node and the log with each other, and end with 0 where they agree', async () => {
    const pairs = [['one', '--against', 'shops/eu'], ['shops/us']]
    for (const pair of pairs) {
      const ended = await call('verify', ...pair)
      expect([pair, ended.ending, lastLine(ended)]).toMatchObject([pair, 0, { equal: true, differences: [] }])
    }
  })

  it('end with 1 and show both values where they do not', async () => {
    const edited = { ...product('lamp'), name: 'Edited' }
    await client.set('two:lamp', JSON.stringify(edited))
    const version = { site: 'us', stamp: { epoch: 1, sequence: 9 }, time: { ms: 9, counter: 0 } }
    const us = redisNode({ name: 'us', client, key: 'node-us' })
    const [held] = await us.read(['desk'])
    const written = writeVersion<unknown>(held!.versions, { ...version, value: product('desk', 1) })
    await us.write('desk', held!.mark, written)

    const nodes = await call('verify', 'shops/eu', '--against', 'shops/us', '--wait', '0')
    expect(nodes.ending).toBe(1)
    expect(lastLine(nodes)).toMatchObject({ differences: [{ key: 'desk', verdict: 'first-older' }] })
    const shown = await call('diff', 'two', '--against', 'shops/eu', '--wait', '0')
    expect(shown.ending).toBe(1)
    expect(everyLine(shown)[0]).toMatchObject({ key: 'lamp', values: [edited, product('lamp')] })
  })

  it('end with 2 where a side is not known', async () => {
    const unknown = await call('verify', 'one', '--against', 'shops/asia')
    expect([unknown.ending, unknown.stdout + unknown.stderr]).toMatchObject([2, /shops\/eu/])
  })
})
