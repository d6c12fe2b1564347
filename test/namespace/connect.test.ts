import { connect, defineCollection, type HeadwaterError } from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'

const schema = z.object({ sku: z.string() })
const key = ({ sku }: { sku: string }): string => sku
const products = defineCollection('products', { schema, key })
const visits = defineCollection('visits', {
  schema,
  key,
  state: 'versions',
  partitionKey: (sku) => sku.slice(0, 1),
})

let server: RedisServer
let redis: Redis
beforeAll(async () => {
  server = await startRedis()
  redis = new Redis(server.options)
})
afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

const name = (of: string): string => `${server.namespacePrefix}${of}`
const keysOf = (namespace: string): Promise<string[]> => redis.keys(`headwater:{${namespace}*`)
const bucketsOf = async (namespace: string): Promise<string[]> =>
  (await keysOf(namespace)).filter((key) => /:(?:heads|values):/.test(key))

describe('a connection that may create nothing', () => {
  it('refuses a namespace that does not exist, and leaves nothing behind', async () => {
    const namespace = name('nobody')
    await expect(connect(server.url, { namespace, create: false })).rejects.toMatchObject({
      code: 'NAMESPACE_UNKNOWN',
      message: expect.stringContaining(`"${namespace}" does not exist`) as string,
    } satisfies Partial<HeadwaterError>)
    expect(await keysOf(namespace)).toEqual([])
  })

  it('refuses a namespace whose creation was interrupted, and leaves its completion to others', async () => {
    const namespace = name('interrupted')
    await (await connect(server.url, { namespace })).close()
    const metadata = `headwater:{${namespace}}:metadata`
    await redis.hset(metadata, 'status', 'creating')
    await expect(connect(server.url, { namespace, create: false })).rejects.toMatchObject({
      code: 'NAMESPACE_UNKNOWN',
    })
    expect(await redis.hget(metadata, 'status')).toBe('creating')
  })

  it('refuses a collection that does not exist, and names those that do', async () => {
    const namespace = name('one-collection')
    await (await connect(server.url, { namespace, collections: [products] })).close()
    const before = (await keysOf(namespace)).toSorted()
    await expect(
      connect(server.url, { namespace, collections: [visits], create: false }),
    ).rejects.toMatchObject({
      code: 'COLLECTION_UNKNOWN',
      message: expect.stringContaining('no collection "visits"; it has products') as string,
    })
    expect((await keysOf(namespace)).toSorted()).toEqual(before)
  })

  it('reads what others created', async () => {
    const namespace = name('shop')
    await using writer = await connect(server.url, { namespace, collections: [products] })
    const { version } = await writer.append(products.put({ sku: 'lamp' }))
    await using reader = await connect(server.url, { namespace, collections: [products], create: false })
    expect(await reader.get(products, 'lamp')).toMatchObject({ value: { sku: 'lamp' }, version })
  })
})

describe('a log', () => {
  it('tells which collections it has, without their definitions', async () => {
    const namespace = name('catalogue')
    await (await connect(server.url, { namespace, collections: [visits, products] })).close()
    await using log = await connect(server.url, { namespace, create: false })
    expect(await log.collections()).toEqual([
      { name: 'products', state: 'values', decider: false, partitionKey: false },
      { name: 'visits', state: 'versions', decider: false, partitionKey: true },
    ])
  })

  it('refuses a definition that would look for keys in another partition', async () => {
    const namespace = name('partition-keys')
    await (await connect(server.url, { namespace, collections: [products, visits] })).close()
    const unkeyed = defineCollection('visits', { schema, key, state: 'versions' })
    const keyed = defineCollection('products', { schema, key, partitionKey: () => 'all' })
    for (const [definition, difference] of [
      [unkeyed, 'with a partitionKey, not without one'],
      [keyed, 'without a partitionKey, not with one'],
    ] as const) {
      await expect(connect(server.url, { namespace, collections: [definition] })).rejects.toMatchObject({
        code: 'NAMESPACE_MISMATCH',
        message: expect.stringContaining(difference) as string,
      })
    }
  })

  it('tells where a partition ends, and reading from there gives what comes afterwards', async () => {
    const namespace = name('ends')
    await using log = await connect(server.url, { namespace, collections: [products], partitions: 1 })
    const empty = await log.end(0)
    const first = await log.append(products.put({ sku: 'lamp' }))
    expect(await log.end(0)).toBe(first.position)
    const second = await log.append(products.put({ sku: 'desk' }))
    const after = async (from: typeof empty): Promise<string[]> => {
      const positions: string[] = []
      for await (const { position } of log.read(0, from)) positions.push(position)
      return positions
    }
    expect(await after(empty)).toEqual([first.position, second.position])
    expect(await after(first.position)).toEqual([second.position])
    expect(await after(await log.end(0))).toEqual([])
    await expect(log.end(1)).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })
})

describe('the state of a collection', () => {
  it('is kept in tables from its first key on, and never in lists that are searched from the beginning', async () => {
    const namespace = name('tables')
    const log = await connect(server.url, { namespace, collections: [products, visits] })
    await log.append(products.put({ sku: 'lamp' }))
    await log.close()
    const buckets = await bucketsOf(namespace)
    expect(buckets).toHaveLength(8 * (8 + 8 + 8))
    const encodings = await Promise.all(buckets.map((bucket) => redis.object('ENCODING', bucket)))
    expect(new Set(encodings)).toEqual(new Set(['hashtable']))
  })
})
