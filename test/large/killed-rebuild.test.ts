import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { killAndGoOn } from '../copy/kill-and-go-on.ts'
import type { CrashPoint } from '../copy/rebuild-process-options.ts'
import { pointedRedis, postgresTable, swappedRedis } from '../copy/targets.ts'

let redis: RedisServer
let postgres: PostgresServer
beforeAll(async () => {
  ;[redis, postgres] = await Promise.all([startRedis(), startPostgres()])
})
afterAll(() => Promise.all([redis.stop(), postgres.stop()]))

const building: readonly CrashPoint[] = [
  { call: 'prepare', when: 'before', nth: 1 },
  { call: 'prepare', when: 'after', nth: 1 },
  { call: 'copy', when: 'before', nth: 2 },
  { call: 'copy', when: 'after', nth: 7 },
  { call: 'advance', when: 'before', nth: 1 },
  { call: 'advance', when: 'after', nth: 2 },
  { call: 'stand', when: 'before', nth: 1 },
  { call: 'stand', when: 'after', nth: 1 },
  { call: 'switch', when: 'before', nth: 1 },
]
const switched: CrashPoint = { call: 'switch', when: 'after', nth: 1, switched: true }

/** Before each of the scripts of a switch, up to the first behind the decisive one. */
function switching(decisive: number): CrashPoint[] {
  const before = Array.from({ length: decisive }, (_, at): CrashPoint => ({
    call: 'switch-script',
    when: 'before',
    nth: at + 1,
  }))
  return [...before, { call: 'switch-script', when: 'before', nth: decisive + 1, switched: true }]
}

describe('a rebuild that is killed at every point goes on, and loses nothing:', () => {
  it.each([
    ['before and after what builds', [...building, switched]],
    ['before each script of the switch', switching(4)],
  ])('redis behind a pointer, %s', async (_what, points) => {
    const target = pointedRedis(redis)
    const where = { kind: 'pointer', redis: redis.options, name: target.id } as const
    expect(await killAndGoOn(redis, target, where, points)).toMatchObject({ result: 'equal' })
    await target.close()
  })

  it.each([
    ['before and after what builds', [...building, switched]],
    ['before each script of the switch', switching(3)],
  ])('redis in a database of its own, %s', async (_what, points) => {
    const target = swappedRedis(redis)
    const where = { kind: 'databases', redis: redis.options } as const
    expect(await killAndGoOn(redis, target, where, points)).toMatchObject({ result: 'equal' })
    await target.close()
  })

  it('a postgres table', async () => {
    const target = postgresTable(postgres)
    const { connection, schema } = postgres
    const where = { kind: 'table', postgres: connection, schema, table: target.table } as const
    expect(await killAndGoOn(redis, target, where, [...building, switched])).toMatchObject({
      result: 'equal',
    })
    await target.close()
  })
})
