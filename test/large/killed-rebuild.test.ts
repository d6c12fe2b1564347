import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { killAndGoOn } from '../copy/kill-and-go-on.ts'
import type { CrashPoint } from '../copy/rebuild-process-options.ts'
import { pointedRedis, postgresTable } from '../copy/targets.ts'

let redis: RedisServer
let postgres: PostgresServer
beforeAll(async () => {
  ;[redis, postgres] = await Promise.all([startRedis(), startPostgres()])
})
afterAll(() => Promise.all([redis.stop(), postgres.stop()]))

const points: readonly CrashPoint[] = [
  { call: 'prepare', when: 'after', nth: 1 },
  { call: 'copy', when: 'before', nth: 2 },
  { call: 'copy', when: 'after', nth: 7 },
  { call: 'advance', when: 'before', nth: 1 },
  { call: 'advance', when: 'after', nth: 2 },
  { call: 'stand', when: 'after', nth: 1 },
  { call: 'switch', when: 'before', nth: 1 },
  { call: 'switch', when: 'after', nth: 1 },
]

it('a rebuild of redis behind a pointer survives a kill at every point', async () => {
  const target = pointedRedis(redis)
  const where = { kind: 'pointer', redis: redis.options, name: target.id } as const
  expect(await killAndGoOn(redis, target, where, points)).toMatchObject({ result: 'equal' })
  await target.close()
})

it('a rebuild of a postgres table survives a kill at every point', async () => {
  const target = postgresTable(postgres)
  const { connection, schema } = postgres
  const where = { kind: 'table', postgres: connection, schema, table: target.table } as const
  expect(await killAndGoOn(redis, target, where, points)).toMatchObject({ result: 'equal' })
  await target.close()
})
