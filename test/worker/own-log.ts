import type { ConnectOptions, Log } from '@headwater/core'
import { afterEach, beforeEach } from 'vitest'
import { server, startOwnRedis } from '../support/own-redis.ts'
import { openTestLog } from './test-log.ts'

// A log of notes for each test, on a Redis server that the file has to itself.

export { client, server } from '../support/own-redis.ts'
export let log: Log

/** Starts the server before the tests of the file, and opens a new log before each of them. */
export function openOwnLog(options: Partial<ConnectOptions> = {}): void {
  startOwnRedis()
  beforeEach(async () => {
    log = await openTestLog(server.options, options)
  })
  afterEach(() => log.close())
}
