import { notes, type Note } from '@headwater/conformance'
import { memorySink, startWorker, verify, type Sink } from '@headwater/core'
import {
  startPostgres,
  startRedis,
  type OwnPostgresServer,
  type OwnRedisServer,
} from '@headwater/local-servers'
import { postgresSink } from '@headwater/postgres'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { drained, openTestLog, partitionKeys } from '../worker/test-log.ts'
import { forgedBatch } from './forged-batch.ts'

const group = 'copy'
let redis: OwnRedisServer
let postgres: OwnPostgresServer
let client: Redis
let pool: Pool

beforeAll(async () => {
  redis = await startRedis({ own: true })
  postgres = await startPostgres({ own: true })
  client = new Redis(redis.options)
  pool = new Pool(postgres.connection)
})

afterAll(async () => {
  client.disconnect()
  await pool.end()
  await postgres.stop()
  await redis.stop()
})

let sinks = 0
const sinkOf: Record<string, (name: string) => Sink<Note>> = {
  memory: () => memorySink({ collection: notes }),
  'Redis, as JSON': (name) =>
    redisSink({ client, collection: notes, key: `${name}:{key}`, prefix: `p-${name}` }),
  'Redis, as a hash': (name) =>
    redisSink({ client, collection: notes, key: `${name}:{key}`, prefix: `p-${name}`, value: 'hash' }),
  Postgres: (name) => postgresSink({ pool, collection: notes, table: name }),
}

const deep = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`

/** As deep as an append takes it, in its note. */
const deepest = JSON.parse(deep(499)) as Note['content']

describe.each(Object.keys(sinkOf))('JSON that no append takes, given by a stranger to %s', (kind) => {
  it.each<[string, string, string]>([
    ['501 deep', `{"content":${deep(500)},"id":"forged"}`, 'parked'],
    ['a hundred thousand deep', `{"content":${deep(100_000)},"id":"forged"}`, 'parked'],
    ['of half a character', '{"content":"\\ud800","id":"forged"}', 'either'],
    ['of a number beyond all numbers', '{"content":1e999,"id":"forged"}', 'either'],
  ])('delays nobody else, and verification goes on: %s', async (_, payloads, becomes) => {
    await using log = await openTestLog(redis.options)
    const sink = sinkOf[kind]!(`odd_${++sinks}`)
    const { log: stream, header } = partitionKeys(log, group)
    await log.append(notes.put({ id: 'lamp', content: deepest }))
    await client.call('XADD', stream, '1-2', ...forgedBatch('1-2', { payloads }))
    await client.hset(header, 'sequence', 2)
    await log.append(notes.put({ id: 'desk', content: 1 }))
    const worker = await startWorker(log, { groups: { [group]: sink } })
    await drained(log, group, 5_000)
    const parked = await log.parking(group).list()
    expect([becomes, parked.map(({ key }) => key)]).toEqual([
      becomes,
      becomes === 'parked' || parked.length > 0 ? ['forged'] : [],
    ])
    const { differences } = await verify(log, sink, { group })
    expect(differences.filter(({ key }) => key !== 'forged')).toEqual([])
    await worker.stop()
  })
})
