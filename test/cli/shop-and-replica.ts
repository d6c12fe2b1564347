import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll } from 'vitest'
import { Shop } from './shop.ts'

// A shop for a file of tests, and a Redis beside it for the copies of its products.

export let shop: Shop
export let replica: OwnRedisServer

/** Opens both before the tests of the file, and closes them behind them. */
export function openShopAndReplica(): void {
  beforeAll(async () => {
    shop = await Shop.open()
    replica = await startRedis({ own: true })
  })
  afterAll(async () => {
    await replica.stop()
    await shop[Symbol.asyncDispose]()
  })
}
