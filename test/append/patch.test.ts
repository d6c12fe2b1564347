import { connect, defineCollection, type Log } from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'

const schema = z.object({
  id: z.string(),
  text: z.string(),
  hits: z.int().min(0),
  seen: z.array(z.int()).optional(),
})
const pages = defineCollection('pages', { schema, key: ({ id }) => id })
const visits = defineCollection('visits', { schema, key: ({ id }) => id, state: 'versions' })

let server: RedisServer
let log: Log
beforeAll(async () => {
  server = await startRedis()
  log = await connect(server.url, {
    namespace: `${server.namespacePrefix}patch`,
    collections: [pages, visits],
  })
})
afterAll(async () => {
  await log.close()
  await server.stop()
})

const value = (id: string) => ({ id, text: '', hits: 0 })
const page = (id: string) => pages.put({ id, text: 'hello', hits: 0 })

describe('a patch', () => {
  it('replaces the properties it names, and keeps the others', async () => {
    await log.append(page('merge'))
    const patched = await log.append(pages.patch('merge', { hits: 3 }))
    expect(patched.version).toBe('2')
    expect((await log.get(pages, 'merge'))?.value).toEqual({ id: 'merge', text: 'hello', hits: 3 })
  })

  it('is tried again on what others wrote meanwhile, so that none of many is lost', async () => {
    await log.append(pages.put({ id: 'crowd', text: 'x', hits: 0, seen: [] }))
    const reading = await connect(server.url, { namespace: log.namespace, collections: [pages] })
    // Two properties, patched from two connections at once: neither may overwrite the other's.
    await Promise.all([
      ...Array.from({ length: 20 }, (_, at) => log.append(pages.patch('crowd', { hits: at + 1 }))),
      ...Array.from({ length: 20 }, (_, at) => reading.append(pages.patch('crowd', { text: `text ${at}` }))),
    ])
    const { value, version } = (await log.get(pages, 'crowd'))!
    expect(version).toBe('41')
    expect(value.hits).toBeGreaterThan(0)
    expect(value.text).toMatch(/^text /)
    await reading.close()
  })

  it('is not tried again where the caller expected a version', async () => {
    const { version } = await log.append(page('expected'))
    await log.append(pages.patch('expected', { hits: 1 }))
    await expect(
      log.append(pages.patch('expected', { hits: 2 }), { expected: version }),
    ).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
      key: 'expected',
      expected: '1',
      actual: '2',
    })
  })

  it('gives its first result to a retry, also when the key has gone since', async () => {
    await log.append(page('retried'))
    const first = await log.append(pages.patch('retried', { hits: 1 }), { idempotencyKey: 'request-1' })
    await log.append(pages.delete('retried'))
    const again = await log.append(pages.patch('retried', { hits: 1 }), { idempotencyKey: 'request-1' })
    expect(again).toEqual({ ...first, duplicate: true })
    expect(await log.get(pages, 'retried')).toBeUndefined()
  })

  it.each([
    ['a key that never was', () => pages.patch('nobody', { hits: 1 }), 'KEY_ABSENT'],
    ['a collection that keeps no values', () => visits.patch('nobody', { hits: 1 }), 'STATE_REQUIRED'],
    ['no object', () => pages.patch('merge', 5 as unknown as { hits: number }), 'VALUE_INVALID'],
  ])('refuses %s', async (_, patch, code) => {
    await expect(log.append(patch())).rejects.toMatchObject({ code })
  })

  it('refuses what makes the whole value invalid, or moves it to another key', async () => {
    await log.append(page('whole'))
    await expect(log.append(pages.patch('whole', { hits: -1 }))).rejects.toMatchObject({
      code: 'VALUE_INVALID',
    })
    await expect(log.append(pages.patch('whole', { id: 'other' }))).rejects.toMatchObject({
      code: 'KEY_INVALID',
    })
    expect((await log.get(pages, 'whole'))?.version).toBe('1')
  })
})

describe('a list of changes', () => {
  const orders = defineCollection('orders', {
    schema,
    key: ({ id }) => id,
    partitionKey: (key) => key.split('/')[0]!,
  })
  const lines = defineCollection('lines', {
    schema,
    key: ({ id }) => id,
    partitionKey: (key) => key.split('/')[0]!,
  })
  let shop: Log
  beforeAll(async () => {
    shop = await connect(server.url, {
      namespace: `${server.namespacePrefix}lists`,
      collections: [pages, orders, lines],
    })
  })
  afterAll(() => shop.close())

  it('enters as a whole, also over collections that a partition key brings together', async () => {
    const results = await shop.append([
      orders.put(value('7')),
      lines.put(value('7/1')),
      lines.put(value('7/2')),
    ])
    expect(new Set(results.map(({ position }) => position.split(':')[0])).size).toBe(1)
    expect(await shop.getMany(lines, ['7/1', '7/2'])).toMatchObject([{ version: '1' }, { version: '1' }])
  })

  it('leaves nothing behind when one of its changes is refused', async () => {
    await shop.append(orders.put(value('8')))
    const refused = shop.append([lines.put(value('8/1')), orders.put(value('8'))], {
      expected: ['any', 'absent'],
    })
    await expect(refused).rejects.toMatchObject({ code: 'VERSION_CONFLICT', key: '8' })
    expect(await shop.get(lines, '8/1')).toBeUndefined()
  })

  it('is refused where its keys fall into different partitions, and names two of them', async () => {
    const spread = Array.from({ length: 20 }, (_, at) => pages.put(value(`page-${at}`)))
    await expect(shop.append(spread)).rejects.toMatchObject({
      code: 'PARTITIONS_DIFFER',
      message: expect.stringMatching(/"page-0" and "page-\d+" fall into partitions \d and \d/) as string,
    })
  })

  it.each([
    ['nothing', [], 'VALUE_INVALID'],
    [
      'more than a batch holds',
      Array.from({ length: 1_001 }, () => orders.put(value('9'))),
      'VALUE_TOO_LARGE',
    ],
  ])('is refused when it holds %s', async (_, list, code) => {
    await expect(shop.append(list)).rejects.toMatchObject({ code })
  })
})
