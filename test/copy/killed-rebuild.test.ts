import { startRedis, type RedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { killAndGoOn } from './kill-and-go-on.ts'
import { pointedRedis } from './targets.ts'

let redis: RedisServer
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

// Every other point, and Postgres, in test/large/killed-rebuild.test.ts.
it('a rebuild that is killed in the copy and right behind the switch goes on where it was, and loses nothing', async () => {
  const target = pointedRedis(redis)
  const report = await killAndGoOn(
    redis,
    target,
    { kind: 'pointer', redis: redis.options, name: target.id },
    [
      { call: 'copy', when: 'after', nth: 7 },
      { call: 'switch', when: 'after', nth: 1, switched: true },
    ],
  )
  expect(report).toMatchObject({ result: 'equal' })
  await target.close()
}, 120_000)
