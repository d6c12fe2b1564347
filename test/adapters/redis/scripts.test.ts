import type { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { client, startOwnRedis } from '../../support/own-redis.ts'
import { apply, replica, words } from './replica.ts'

startOwnRedis()

/** How often clients sent each command since the last reset, scripts' own calls not counted. */
async function commandsSent(client: Redis): Promise<Record<string, number>> {
  const info = await client.info('commandstats')
  const calls = [...info.matchAll(/^cmdstat_(eval\w*|script\|\w+|multi|exec):calls=(\d+)/gm)]
  return Object.fromEntries(calls.map(([, name = '', count]) => [name, Number(count)]))
}

const forget = () => client.script('FLUSH')

describe('a batch on one server', () => {
  it('of 500 changes is one script: fence, stamps, values, bookkeeping and position together', async () => {
    const { sink, log, open } = replica(client)
    const partition = await open()
    await apply(partition, [log.put({ id: 'first', content: 0 })])
    const batch = Array.from({ length: 500 }, (_, index) => log.put({ id: `note-${index}`, content: index }))
    expect(sink.capabilities).toMatchObject({ transactions: true, batch: { changes: 500 } })
    await client.config('RESETSTAT')
    const position = { epoch: 1, sequence: 501, branch: 'a' }
    expect(new Set(words(await apply(partition, batch, position)))).toEqual(new Set(['applied']))
    expect(await commandsSent(client)).toEqual({ evalsha: 1 })
    expect((await open()).position).toEqual(position)
  })

  it('may be larger than what one call of Lua can unpack', async () => {
    const { sink, log, open } = replica(client)
    const batch = Array.from({ length: 9_000 }, (_, index) =>
      log.put({ id: `note-${index}`, content: index }),
    )
    expect(new Set(words(await apply(await open(), batch)))).toEqual(new Set(['applied']))
    const deletes = batch.slice(0, 8_500).map(({ key }) => log.delete(key))
    expect(new Set(words(await apply(await open(), deletes)))).toEqual(new Set(['applied']))
    const deleted: boolean[] = []
    for await (const row of sink.list?.() ?? []) deleted.push(row.deleted)
    expect([deleted.length, deleted.filter(Boolean).length]).toEqual([9_000, 8_500])
  })
})

describe('a server that forgets its scripts', () => {
  it('is taught them again, between any two calls', async () => {
    const { sink, log, open } = replica(client)
    await forget()
    await sink.prepare?.()
    await forget()
    const partition = await open()
    await forget()
    expect(words(await apply(partition, [log.put({ id: 'lamp', content: 1 })]))).toEqual(['applied'])
    await forget()
    await partition.advance({ epoch: 1, sequence: 1, branch: 'a' })
    await forget()
    expect(await sink.read?.(['lamp'])).toMatchObject([{ key: 'lamp' }])
    await forget()
    const rows: string[] = []
    for await (const row of sink.list?.() ?? []) rows.push(row.key)
    expect(rows).toEqual(['lamp'])
  })

  it('is sent a script once, and only its digest afterwards', async () => {
    const { log, open } = replica(client)
    const partition = await open()
    await client.script('FLUSH')
    await client.config('RESETSTAT')
    for (let index = 0; index < 3; index++) await apply(partition, [log.put({ id: 'lamp', content: index })])
    expect(await commandsSent(client)).toEqual({ evalsha: 3, eval: 1 })
  })
})

describe('keys and values', () => {
  it('arrive byte by byte: unicode, NUL, and what Lua and Redis give a meaning', async () => {
    const { sink, log, open, dataKey } = replica(client)
    const ids = ['a\0b', '\0', 'ключ', '鍵', '🗝️', '\u{10ffff}', '%d', '$', "'", '\n', '{}', '__proto__', ' ']
    await apply(
      await open(),
      ids.map((id) => log.put({ id, content: id })),
    )
    expect(await client.mget(ids.map(dataKey))).toEqual(ids.map((id) => JSON.stringify({ content: id, id })))
    expect((await sink.read?.(ids))?.map((row) => row?.key)).toEqual(ids)
  })
})
