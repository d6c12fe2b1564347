import { changeBuilder, notes } from '@headwater/conformance'
import { describe, expect, it } from 'vitest'
import { client, startOwnRedis } from '../../support/own-redis.ts'
import { apply, replica, words } from './replica.ts'

startOwnRedis()

describe('a data key of another type', () => {
  it('rejects the put that would overwrite it, and only that one', async () => {
    const { log, open, dataKey } = replica(client)
    await client.rpush(dataKey('taken'), 'somebody', 'else')
    const batch = ['free', 'taken', 'also free'].map((id) => log.put({ id, content: 1 }))
    const outcomes = await apply(await open(), batch)
    expect(words(outcomes)).toEqual(['applied', 'reject SINK_REJECTED', 'applied'])
    expect(outcomes[1]).toHaveProperty('error.message', expect.stringContaining('holds a list'))
    expect(await client.lrange(dataKey('taken'), 0, -1)).toEqual(['somebody', 'else'])
    expect(await client.exists(dataKey('free'), dataKey('also free'))).toBe(2)
  })

  it('rejects the delete that would remove it', async () => {
    const { log, open, dataKey } = replica(client)
    const partition = await open()
    await apply(partition, [log.put({ id: 'lamp', content: 1 })])
    await client.del(dataKey('lamp'))
    await client.sadd(dataKey('lamp'), 'not ours')
    expect(words(await apply(partition, [log.delete('lamp')]))).toEqual(['reject SINK_REJECTED'])
    expect(await client.exists(dataKey('lamp'))).toBe(1)
  })

  it('is taken once it has been moved away', async () => {
    const { log, open, dataKey } = replica(client, { value: 'hash' })
    const partition = await open()
    const change = log.put({ id: 'lamp', content: 1 })
    await client.set(dataKey('lamp'), 'a string')
    expect(words(await apply(partition, [change]))).toEqual(['reject SINK_REJECTED'])
    await client.rename(dataKey('lamp'), dataKey('old lamp'))
    expect(words(await apply(partition, [change]))).toEqual(['applied'])
  })

  it('is overwritten when it has the right type: a cache that was there before is adopted', async () => {
    const { log, open, dataKey } = replica(client)
    await client.set(dataKey('lamp'), '{"id":"lamp","content":"by hand"}')
    await apply(await open(), [log.put({ id: 'lamp', content: 'by log' })])
    expect(await client.get(dataKey('lamp'))).toBe('{"content":"by log","id":"lamp"}')
  })
})

describe('two entities that are given the same data key', () => {
  it('are told apart in one batch: the second is rejected', async () => {
    const { log, open, prefix } = replica(client)
    const { sink } = replica(client, { key: (key) => `${prefix}-data-${key.toLowerCase()}` })
    const partition = await open({ sink })
    const outcomes = await apply(
      partition,
      ['Lamp', 'lamp'].map((id) => log.put({ id, content: id })),
    )
    expect(words(outcomes)).toEqual(['applied', 'reject SINK_REJECTED'])
    expect(outcomes[1]).toHaveProperty(
      'error.message',
      expect.stringContaining('belongs to the entity "Lamp"'),
    )
    expect(await client.get(`${prefix}-data-lamp`)).toBe('{"content":"Lamp","id":"Lamp"}')
  })

  it('are told apart over batches, partitions and deletes', async () => {
    const { log, open, prefix, another } = replica(client)
    const sink = another({ key: (key) => `${prefix}-data-${key.toLowerCase()}` })
    const otherLog = changeBuilder({ collection: notes, partition: 1 })
    const first = await open({ sink, partition: 0 })
    const second = await open({ sink, partition: 1 })
    await apply(first, [log.put({ id: 'Lamp', content: 1 })])
    expect(words(await apply(second, [otherLog.put({ id: 'LAMP', content: 2 })]))).toEqual([
      'reject SINK_REJECTED',
    ])
    expect(words(await apply(second, [otherLog.delete('lamp')]))).toEqual(['reject SINK_REJECTED'])
    expect(await sink.read?.(['LAMP', 'Lamp'])).toMatchObject([undefined, { key: 'Lamp', deleted: false }])
  })
})

describe('an entity without a usable data key', () => {
  it.each([
    ['nothing', () => ''],
    ['ill-formed text', () => '\ud800'],
    ['something else than text', () => 7 as unknown as string],
    [
      'an error',
      () => {
        throw new RangeError('no such tenant')
      },
    ],
  ])('is rejected when the function gives %s', async (_what, bad) => {
    const { log, open, another, dataKey } = replica(client)
    const sink = another({ key: (key) => (key === 'bad' ? bad() : dataKey(key)) })
    const batch = ['good', 'bad'].map((id) => log.put({ id, content: 1 }))
    expect(words(await apply(await open({ sink }), batch))).toEqual(['applied', 'reject SINK_REJECTED'])
    expect(await sink.read?.(['bad', 'good'])).toMatchObject([undefined, { key: 'good' }])
  })

  it('is rejected when its data key falls among the bookkeeping', async () => {
    const { log, open, another, prefix } = replica(client)
    const sink = another({ key: (key) => `${prefix}:${key}` })
    const outcomes = await apply(await open({ sink }), [log.put({ id: 'rows', content: 1 })])
    expect(words(outcomes)).toEqual(['reject SINK_REJECTED'])
    expect(await client.exists(`${prefix}:rows`)).toBe(0)
  })
})

describe('bookkeeping', () => {
  it('that is something else is reported as a misconfiguration, and nothing is written', async () => {
    const { log, open, dataKey, prefix } = replica(client)
    const partition = await open()
    await client.set(`${prefix}:rows`, 'not ours')
    await expect(apply(partition, [log.put({ id: 'lamp', content: 1 })])).rejects.toMatchObject({
      code: 'SINK_MISCONFIGURED',
    })
    expect(await client.exists(dataKey('lamp'))).toBe(0)
  })

  it('with a damaged record is mended by the next change of its key', async () => {
    const { sink, log, open, dataKey, prefix } = replica(client)
    const partition = await open()
    await client.hset(`${prefix}:rows`, dataKey('lamp'), 'short')
    expect(await sink.read?.(['lamp'])).toEqual([undefined])
    expect(words(await apply(partition, [log.put({ id: 'lamp', content: 1 })]))).toEqual(['applied'])
    expect(await sink.read?.(['lamp'])).toMatchObject([{ key: 'lamp', value: { id: 'lamp', content: 1 } }])
  })

  it('of another layout refuses the sink before it writes anything', async () => {
    const { another, sink } = replica(client)
    await sink.prepare?.()
    await another().prepare?.()
    const others = [
      { value: 'hash' as const },
      { key: 'other:{key}' },
      { key: (key: string) => `other:${key}` },
    ]
    for (const other of others) {
      await expect(another(other).prepare?.()).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' })
    }
  })

  it('that was deleted with everything else ends the ownership, and the next open begins from nothing', async () => {
    const { log, open, prefix, dataKey } = replica(client)
    const partition = await open()
    const position = { epoch: 1, sequence: 7, branch: 'a' }
    await apply(partition, [log.put({ id: 'lamp', content: 1 })], position)
    await client.del(`${prefix}:rows`, `${prefix}:progress`, dataKey('lamp'))
    await expect(apply(partition, [log.put({ id: 'desk', content: 1 })])).rejects.toMatchObject({
      code: 'SINK_FENCED',
    })
    await expect(partition.advance(position)).rejects.toMatchObject({ code: 'SINK_FENCED' })
    expect((await open()).position).toBeUndefined()
  })
})
