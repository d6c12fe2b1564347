import { randomUUID } from 'node:crypto'
import type { Log } from '@headwater/core'
import { afterAll, beforeAll } from 'vitest'
import { openSharedRedis, server } from '../support/shared-redis.ts'
import { openTestLog } from './test-log.ts'

// One log of notes for all tests of a file, on a Redis server that others may use too.

export { server } from '../support/shared-redis.ts'
export let log: Log

/** Opens it before the tests of the file, and closes it behind them. */
export function openSharedLog(): void {
  openSharedRedis()
  beforeAll(async () => {
    log = await openTestLog(server.options, { namespace: `${server.namespacePrefix}${randomUUID()}` })
  })
  afterAll(() => log.close())
}
