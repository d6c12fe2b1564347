import { connect, defineCollection } from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'

const products = defineCollection('products', {
  schema: z.object({ sku: z.string() }),
  key: ({ sku }) => sku,
})

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

const options = (of: string) => ({ namespace: `${server.namespacePrefix}${of}`, collections: [products] })

describe('connecting with an ioredis instance', () => {
  it('copies its options, and never sends anything through it', async () => {
    const given = new Redis({ ...server.options, lazyConnect: true })
    const log = await connect(given, options('given'))
    await log.append(products.put({ sku: 'lamp' }))
    expect(given.status).toBe('wait')
    await log.close()
    expect(given.status).toBe('wait')
    given.disconnect()
  })

  it('sends each command at most once, whatever the instance was told', async () => {
    const given = new Redis({
      ...server.options,
      lazyConnect: true,
      autoResendUnfulfilledCommands: true,
      maxRetriesPerRequest: 20,
    })
    const log = await connect(given, options('once'))
    await log.append(products.put({ sku: 'lamp' }))
    const inspector = new Redis(server.options)
    // Cut by the server while appends are on their way: ioredis would send them again, and append twice.
    const appends = Array.from({ length: 200 }, (_, at) => log.append(products.put({ sku: `sku-${at}` })))
    await inspector.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    const versions = (await Promise.all(appends)).map(({ version }) => version)
    expect(new Set(versions)).toEqual(new Set(['1']))
    await log.close()
    inspector.disconnect()
    given.disconnect()
  })

  it('refuses a key prefix, which would not reach the keys that scripts use', async () => {
    const given = new Redis({ ...server.options, lazyConnect: true, keyPrefix: 'app:' })
    await expect(connect(given, options('prefix'))).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining('"app:"') as string,
    })
    given.disconnect()
  })
})

describe('connecting with a URL', () => {
  it.each([
    ['no URL at all', 'localhost:port'],
    ['another protocol', 'http://:secret@localhost'],
    ['a database that is no number', 'redis://:secret@localhost/abc'],
    ['a port that is no number', 'redis://:secret@localhost:port'],
  ])('refuses %s, and repeats no password', async (_, url) => {
    const refused: unknown = await connect(url, options('url')).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'OPTION_INVALID' })
    expect(String(refused)).not.toContain('secret')
  })

  it('gives up at its deadline where nobody answers, and says why', async () => {
    const nowhere = connect('unix:///nowhere/redis.sock', { ...options('nowhere'), deadlineMs: 300 })
    await expect(nowhere).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
      retryable: true,
      message: expect.stringContaining('ENOENT') as string,
    })
  })
})

describe('connecting with options', () => {
  it.each([
    ['namespace', { namespace: 'a b' }],
    ['namespace', { namespace: '' }],
    ['partitions', { namespace: 'a', partitions: 0 }],
    ['partitions', { namespace: 'a', partitions: 1.5 }],
    ['durability', { namespace: 'a', durability: 'always' as 'disk' }],
    ['deadlineMs', { namespace: 'a', deadlineMs: Number.NaN }],
  ])('refuses a %s that cannot work, and names it', async (name, wrong) => {
    await expect(connect(server.url, wrong)).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining(name) as string,
    })
  })

  it('refuses settings that differ from those of the creation, and says what is stored', async () => {
    const log = await connect(server.url, { ...options('settings'), partitions: 4 })
    await log.close()
    await expect(connect(server.url, { ...options('settings'), partitions: 8 })).rejects.toMatchObject({
      code: 'NAMESPACE_MISMATCH',
      message: expect.stringContaining('partitions 4, not 8') as string,
    })
  })
})
