import { randomUUID } from 'node:crypto'
import {
  connect,
  noVersions,
  startSite,
  startWorker,
  verify,
  writeVersion,
  type Log,
  type SiteVersion,
} from '@headwater/core'
import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '@headwater/local-servers'
import { postgresNode, postgresSink } from '@headwater/postgres'
import { redisNode, redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { booksCollection } from '../sites/books.ts'

let redis: RedisServer
let peer: RedisServer
let postgres: PostgresServer
let client: Redis
let pool: Pool

beforeAll(async () => {
  ;[redis, peer, postgres] = await Promise.all([
    startRedis({ own: true }),
    startRedis({ own: true }),
    startPostgres(),
  ])
  client = new Redis(redis.options)
  pool = new Pool({ ...postgres.connection, max: 6 })
})

afterAll(async () => {
  client.disconnect()
  await pool.end()
  await Promise.all([redis.stop(), peer.stop(), postgres.stop()])
})

const rules = { weights: { eu: 2, us: 1 } }

describe('any two of a log, a sink and a node', () => {
  it('are equal while all of them follow, and differ in what was done to one of them', async () => {
    const namespace = randomUUID()
    const [inEu, inUs] = [booksCollection(), booksCollection()]
    await using eu = await connect(redis.options, { namespace, collections: [inEu], partitions: 2 })
    await using us = await connect(peer.options, { namespace, collections: [inUs], partitions: 2 })
    await using site = await startSite(eu, inEu, { name: 'eu', peers: { us }, ...rules, pollMs: 20 })
    await using other = await startSite(us, inUs, { name: 'us', peers: { eu }, ...rules, pollMs: 20 })
    const cache = redisSink({ client, collection: inEu, key: `${namespace}-{key}` })
    const table = `books_${namespace.slice(0, 8)}`
    const rows = postgresSink({ pool, collection: inEu, schema: postgres.schema, table })
    await using _ = await startWorker(eu, { groups: { cache, rows } })
    const state = { log: eu, collection: inEu }
    const write = (log: Log, books: typeof inEu, title: string): Promise<unknown> =>
      Promise.all(
        Array.from({ length: 20 }, (_value, at) => log.append(books.put({ id: `book-${at}`, title }))),
      )
    await write(eu, inEu, 'from eu')
    await write(us, inUs, 'from us')
    await us.append(inUs.delete('book-7'))

    const shares: number[] = []
    const onProgress = (_: number, share: number) => void shares.push(share)
    const pairs = [
      () => verify(site.node, other.node, { timeoutMs: 20_000, onProgress }),
      () => verify(site.node, state, { rules, timeoutMs: 20_000, onProgress }),
      () => verify(other.node, state, { rules, timeoutMs: 20_000 }),
      () => verify(state, site.node, { rules, timeoutMs: 20_000 }),
      () => verify(cache, site.node, { rules, timeoutMs: 20_000 }),
      () => verify(site.node, rows, { rules, timeoutMs: 20_000 }),
      () => verify(eu, cache, { group: 'cache', timeoutMs: 20_000 }),
      () => verify(cache, rows, { timeoutMs: 20_000 }),
    ]
    for (const compare of pairs) expect(await compare()).toMatchObject({ equal: true, differences: [] })
    // Both sides, then what seems to differ, and the end: of each of two comparisons.
    expect(shares.map((share) => share.toFixed(2))).toEqual(
      [0, 1 / 3, 2 / 3, 1, 0, 1 / 3, 2 / 3, 1].map((share) => share.toFixed(2)),
    )

    await client.set(`${namespace}-book-3`, '{"id":"book-3","title":"edited"}')
    const edited = [{ key: 'book-3', verdict: 'content' }]
    const found = await verify(site.node, cache, { rules, timeoutMs: 100 })
    expect(found).toMatchObject({ result: 'different', counts: { content: 1 }, differences: edited })
    await pool.query(`UPDATE "${postgres.schema}"."${table}" SET title = 'edited' WHERE key = 'book-4'`)
    expect((await verify(rows, other.node, { rules, timeoutMs: 100 })).differences).toEqual([
      { key: 'book-4', verdict: 'content' },
    ])
    // A value that entered no log.
    const version = { site: 'eu', stamp: { epoch: 9, sequence: 9 }, time: { ms: 1, counter: 0 } }
    const [held] = await site.node.read(['book-5'])
    await other.stop()
    await site.stop()
    const stranger = writeVersion<unknown>(held!.versions, {
      ...version,
      value: { id: 'book-5', title: 'x' },
    })
    await site.node.write('book-5', held!.mark, stranger)
    expect((await verify(state, site.node, { rules, timeoutMs: 0 })).differences).toEqual([
      { key: 'book-5', verdict: 'content' },
    ])
    expect((await verify(site.node, other.node, { timeoutMs: 0 })).differences).toEqual([
      { key: 'book-5', verdict: 'second-older' },
    ])
    await pool.query(`DROP TABLE "${postgres.schema}"."${table}"`)
  }, 60_000)
})

describe('two nodes', () => {
  it('say who is older, who knows what the other does not, and who is corrupt, of whatever kind they are', async () => {
    const one = redisNode({ name: 'one', client, key: randomUUID() })
    const table = `node_${randomUUID().slice(0, 8)}`
    const two = postgresNode({ name: 'two', pool, schema: postgres.schema, table })
    await two.prepare()
    const first = writeVersion<unknown>(noVersions, at('eu', 1, 'first'))
    const next = writeVersion<unknown>(first, at('eu', 2, 'next'))
    const side = writeVersion<unknown>(first, at('us', 1, 'side'))
    const forged = writeVersion<unknown>(first, at('eu', 2, 'forged'))
    const rows = {
      same: [first, first],
      late: [first, next],
      'other late': [next, first],
      apart: [next, side],
      corrupt: [next, forged],
      missing: [undefined, first],
    } as const
    for (const [key, [ours, theirs]] of Object.entries(rows)) {
      if (ours) await one.write(key, undefined, ours)
      await two.write(key, undefined, theirs)
    }
    const report = await verify(one, two, { timeoutMs: 0 })
    expect(Object.fromEntries(report.differences.map(({ key, verdict }) => [key, verdict]))).toEqual({
      late: 'first-older',
      'other late': 'second-older',
      apart: 'apart',
      corrupt: 'content',
      missing: 'first-older',
    })
    expect(report).toMatchObject({ result: 'different', counts: { 'first-older': 2 } })
    await pool.query(`DROP TABLE "${postgres.schema}"."${table}"`)
  })

  it('are equal where one is only late, also when both are written at each look', async () => {
    const one = redisNode({ name: 'one', client, key: randomUUID() })
    const two = redisNode({ name: 'two', client, key: randomUUID() })
    let held = writeVersion<unknown>(noVersions, at('eu', 1, 1))
    await one.write('a', undefined, held)
    let sequence = 1
    const lookedAt = {
      ...two,
      read: async (keys: readonly string[]) => {
        // Whenever it is looked at, it has what the other had before, and the other has more.
        const [row] = await two.read(['a'])
        await two.write('a', row?.mark, held)
        const [mine] = await one.read(['a'])
        held = writeVersion(held, at('eu', ++sequence, sequence))
        await one.write('a', mine!.mark, held)
        return await two.read(keys)
      },
    }
    expect(await verify(one, lookedAt, { timeoutMs: 5_000 })).toMatchObject({ equal: true })
  })
})

function at(site: string, sequence: number, value: unknown): SiteVersion<unknown> {
  return { site, stamp: { epoch: 1, sequence }, time: { ms: sequence, counter: 0 }, value }
}
