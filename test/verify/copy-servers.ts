import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll } from 'vitest'
import { memoryCopy, postgresCopy, redisCopy, type Copy } from './copies.ts'
import type { itemsCollection } from './shop.ts'

// Where logs and copies of items are kept: each file of tests has its own of these.

export let redis: RedisServer
export let postgres: PostgresServer

/** Starts them for all tests of the file. */
export function openCopyServers(): void {
  beforeAll(async () => {
    ;[redis, postgres] = await Promise.all([startRedis(), startPostgres()])
  })
  afterAll(async () => {
    await Promise.all([redis.stop(), postgres.stop()])
  })
}

/** What a copy can be kept in: what is claimed of one is claimed of each. */
export const technologies: Readonly<Record<string, (items: ReturnType<typeof itemsCollection>) => Copy>> = {
  memory: memoryCopy,
  redis: (items) => redisCopy(items, redis.options, redis.namespacePrefix),
  postgres: (items) => postgresCopy(items, postgres),
}
