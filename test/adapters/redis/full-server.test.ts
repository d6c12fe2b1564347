import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { client, server, startOwnRedis } from '../../support/own-redis.ts'
import { apply, replica, words } from './replica.ts'

startOwnRedis()

afterEach(async () => {
  await client.config('SET', 'maxmemory', '0')
})

describe.each(['json', 'hash'] as const)('a Redis at its memory limit (%s)', (value) => {
  it('refuses puts for now, leaves nothing half-applied, and takes them when there is room', async () => {
    const { sink, log, open, dataKey } = replica(client, { value })
    const partition = await open()
    await apply(partition, [log.put({ id: 'old', content: 1 })], { epoch: 1, sequence: 1, branch: 'a' })
    const batch = [log.put({ id: 'old', content: 2 }), log.put({ id: 'new', content: 2 })]
    await client.config('SET', 'maxmemory', '1')

    const refused = apply(partition, batch, { epoch: 1, sequence: 3, branch: 'a' })
    await expect(refused).rejects.toMatchObject({ code: 'SINK_UNAVAILABLE', retryable: true })
    expect(await sink.read?.(['old', 'new'])).toMatchObject([{ value: { id: 'old', content: 1 } }, undefined])
    expect(await client.exists(dataKey('new'))).toBe(0)

    await client.config('SET', 'maxmemory', '0')
    expect((await open()).position).toEqual({ epoch: 1, sequence: 1, branch: 'a' })
    expect(words(await apply(await open(), batch))).toEqual(['applied', 'applied'])
  })

  it('takes the deletes of a batch, so that it can be emptied, also by a worker that has just started', async () => {
    const { sink, log, open, dataKey } = replica(client, { value })
    const ids = ['a', 'b', 'c']
    await apply(
      await open(),
      ids.map((id) => log.put({ id, content: id })),
    )
    await client.config('SET', 'maxmemory', '1')

    const partition = await open()
    const outcomes = await apply(partition, [
      log.delete('a'),
      log.put({ id: 'd', content: 'd' }),
      log.delete('b'),
    ])
    expect(words(outcomes)).toEqual(['applied', 'retry SINK_UNAVAILABLE', 'applied'])
    expect(words(await apply(partition, [log.delete('c')]))).toEqual(['applied'])
    expect(await client.exists(...[...ids, 'd'].map(dataKey))).toBe(0)
    const position = { epoch: 1, sequence: 6, branch: 'a' }
    await partition.advance(position)
    expect((await open()).position).toEqual(position)
    expect(await sink.read?.(ids)).toMatchObject(ids.map((key) => ({ key, deleted: true })))
  })
})

describe('a server that refuses writes for another reason', () => {
  it('is unavailable for now: a replica', async () => {
    const { log, open, dataKey } = replica(client)
    const partition = await open()
    await client.replicaof('127.0.0.1', '1')
    try {
      await expect(apply(partition, [log.put({ id: 'lamp', content: 1 })])).rejects.toMatchObject({
        code: 'SINK_UNAVAILABLE',
      })
    } finally {
      await client.replicaof('NO', 'ONE')
    }
    expect(await client.exists(dataKey('lamp'))).toBe(0)
  })

  it('is misconfigured: no permission for what a script uses', async () => {
    const limited = await limitedClient('+@all', '-mset')
    const { sink, log, open } = replica(limited)
    const partition = await open()
    const change = log.put({ id: 'lamp', content: 1 })
    await expect(apply(partition, [change])).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' })
    expect(await sink.read?.(['lamp'])).toEqual([undefined])
    await client.acl('SETUSER', 'limited', '+mset')
    expect(words(await apply(partition, [change]))).toEqual(['applied'])
    limited.disconnect()
  })

  it.each(['json', 'hash'] as const)(
    'is content with the permissions that the README asks for (%s)',
    async (value) => {
      const readme = readFileSync(
        new URL('../../../packages/adapters/redis/README.md', import.meta.url),
        'utf8',
      )
      const [, documented = ''] = /its user needs `([^`]+)`/.exec(readme) ?? []
      const ownOfClient = ['+@connection', '+info']
      const limited = await limitedClient('-@all', ...ownOfClient, ...documented.split(/\s+/))
      const { sink, log, open } = replica(limited, { value })
      await sink.prepare?.()
      const changes = [log.put({ id: 'lamp', content: 1 }), log.delete('desk')]
      expect(words(await apply(await open(), changes))).toEqual(['applied', 'applied'])
      expect(await sink.read?.(['lamp', 'nobody'])).toMatchObject([{ key: 'lamp' }, undefined])
      const rows: string[] = []
      for await (const row of sink.list?.() ?? []) rows.push(row.key)
      expect(rows.toSorted()).toEqual(['desk', 'lamp'])
      limited.disconnect()
    },
  )
})

async function limitedClient(...rules: string[]): Promise<Redis> {
  await client.acl('SETUSER', 'limited', 'reset', 'on', '>secret', '~*', ...rules)
  return new Redis({ ...server.options, username: 'limited', password: 'secret' })
}
