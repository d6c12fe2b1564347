import { describe, expect, it } from 'vitest'
import { client, startOwnRedis } from '../../support/own-redis.ts'
import { apply, replica } from './replica.ts'

startOwnRedis()

describe.each(['json', 'hash'] as const)('what was done to a data key behind our back (%s)', (value) => {
  async function lampAndDesk() {
    const filled = replica(client, { value })
    const { log, open } = filled
    const partition = await open()
    await apply(partition, [log.put({ id: 'lamp', content: 1 }), log.put({ id: 'desk', content: 1 })])
    await apply(partition, [log.delete('desk')])
    const look = async (id: string) => (await filled.sink.read?.([id]))?.[0]
    return { ...filled, look }
  }

  it('shows when it was deleted: a live row without a value', async () => {
    const { look, dataKey } = await lampAndDesk()
    await client.del(dataKey('lamp'))
    expect(await look('lamp')).toMatchObject({ deleted: false, value: undefined })
  })

  it('shows when it was replaced by another type: a live row without a value', async () => {
    const { look, dataKey } = await lampAndDesk()
    await client.del(dataKey('lamp'))
    await client.rpush(dataKey('lamp'), 'x')
    expect(await look('lamp')).toMatchObject({ deleted: false, value: undefined })
  })

  it('shows when it was edited: the value that stands there', async () => {
    const { look, dataKey } = await lampAndDesk()
    if (value === 'json') await client.set(dataKey('lamp'), '{"id":"lamp","content":2}')
    else await client.hset(dataKey('lamp'), 'content', '2')
    expect(await look('lamp')).toMatchObject({ deleted: false, value: { id: 'lamp', content: 2 } })
  })

  it('shows when a deleted one came back: a tombstone with a value', async () => {
    const { look, dataKey } = await lampAndDesk()
    expect(await look('desk')).toMatchObject({ deleted: true, hash: 0n, value: undefined })
    if (value === 'json') await client.set(dataKey('desk'), '"back"')
    else await client.hset(dataKey('desk'), 'id', 'back')
    expect((await look('desk'))?.value).toEqual(value === 'json' ? 'back' : { id: 'back' })
  })
})

describe('a string that is no JSON', () => {
  it('reads as a live row without a value', async () => {
    const { sink, log, open, dataKey } = replica(client)
    await apply(await open(), [log.put({ id: 'lamp', content: 1 })])
    await client.set(dataKey('lamp'), 'lamp')
    expect(await sink.read?.(['lamp'])).toMatchObject([{ deleted: false, value: undefined }])
  })
})
