import { startProxy, startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { redisSink } from '@headwater/redis'
import { notes } from '@headwater/conformance'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apply, replica, words } from './replica.ts'

let server: OwnRedisServer

beforeAll(async () => {
  server = await startRedis({ own: true })
})

afterAll(async () => {
  await server.stop()
})

describe('any client of ioredis', () => {
  const clients: [string, () => Redis | Redis<'resp3'>][] = [
    ['as it comes', () => new Redis(server.options)],
    ['with RESP2', () => new Redis({ ...server.options, protocol: 2 })],
    ['with RESP3 replies', () => new Redis({ ...server.options, replyMapping: 'resp3' })],
    ['with numbers as strings', () => new Redis({ ...server.options, stringNumbers: true })],
    ['with automatic pipelining', () => new Redis({ ...server.options, enableAutoPipelining: true })],
    ['that connects late', () => new Redis({ ...server.options, lazyConnect: true })],
    ['in another database', () => new Redis({ ...server.options, db: 3 })],
  ]

  it.each(clients)('serves: %s', async (_kind, connect) => {
    const client = connect()
    try {
      for (const value of ['json', 'hash'] as const) {
        const { sink, log, open } = replica(client, { value })
        await sink.prepare?.()
        const partition = await open()
        await apply(partition, [
          log.put({ id: 'lamp', content: { a: [1, '2'] } }),
          log.put({ id: 'desk', content: 1 }),
        ])
        await apply(partition, [log.delete('desk')], { epoch: 1, sequence: 2, branch: 'a' })
        expect((await open()).position).toEqual({ epoch: 1, sequence: 2, branch: 'a' })
        expect(await sink.read?.(['lamp', 'desk', 'nobody'])).toMatchObject([
          { deleted: false, value: { id: 'lamp', content: { a: [1, '2'] } } },
          { deleted: true, value: undefined },
          undefined,
        ])
        const rows: string[] = []
        for await (const row of sink.list?.() ?? []) rows.push(row.key)
        expect(rows.toSorted()).toEqual(['desk', 'lamp'])
      }
    } finally {
      client.disconnect()
    }
  })

  it('stays open when the sink is closed', async () => {
    const client = new Redis(server.options)
    const { sink } = replica(client)
    await sink.close()
    await sink.close()
    expect(await client.ping()).toBe('PONG')
    client.disconnect()
  })

  it('that has lost its server makes a change wait, and not be rejected', async () => {
    const client = new Redis({
      ...server.options,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      retryStrategy: () => null,
    })
    await new Promise((resolve) => client.once('ready', resolve))
    const { log, open } = replica(client)
    const partition = await open()
    client.disconnect()
    await expect(apply(partition, [log.put({ id: 'lamp', content: 1 })])).rejects.toMatchObject({
      code: 'SINK_UNAVAILABLE',
      retryable: true,
    })
  })
})

describe('options that cannot work', () => {
  const client = new Redis({ lazyConnect: true })

  it.each([
    ['a client with a keyPrefix', { client: new Redis({ lazyConnect: true, keyPrefix: 'app:' }) }],
    ['something that is no client', { client: {} as Redis }],
    ['a template without a place for the key', { key: 'product' }],
    ['a template with two places for the key', { key: '{key}:{key}' }],
    ['a key that is neither text nor function', { key: 5 as unknown as string }],
    ['an unknown layout', { value: 'xml' as 'json' }],
    ['an empty prefix', { prefix: '' }],
    ['a prefix that would choose the slots', { prefix: '{sink}' }],
  ])('are refused: %s', (_what, wrong) => {
    expect(() => redisSink({ client, collection: notes, key: 'note:{key}', ...wrong })).toThrow(
      expect.objectContaining({ code: 'OPTION_INVALID' }),
    )
  })
})

describe('the name of a sink', () => {
  it('tells the template and the collection, and no address', () => {
    const client = new Redis({ lazyConnect: true, password: 'secret' })
    const { name } = redisSink({ client, collection: notes, key: 'note:{key}' })
    expect(name).toBe('redis keys "note:{key}" of "notes"')
  })
})

describe('a client that sends again by itself when a reply was lost', () => {
  it('applies each change once', async () => {
    await using link = await startProxy(server.options)
    const client = new Redis({ ...server.options, ...link.address, retryStrategy: () => 1 })
    client.on('error', () => {})
    const { sink, log, open } = replica(client)
    const partition = await open()
    await apply(partition, [log.put({ id: 'desk', content: 1 })])
    const lost = link.loseReply('EVALSHA')
    const position = { epoch: 1, sequence: 2, branch: 'a' }
    expect(words(await apply(partition, [log.put({ id: 'lamp', content: 1 })], position))).toEqual(['stale'])
    await lost
    expect(await sink.read?.(['lamp'])).toMatchObject([{ value: { id: 'lamp', content: 1 } }])
    expect((await open()).position).toEqual(position)
    client.disconnect()
  })
})
