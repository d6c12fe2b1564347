import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll } from 'vitest'
import { openShop } from './opened-shop.ts'

// A shop for a file of tests, and a Redis beside it for the copies of its products.

export { shop } from './opened-shop.ts'
export let replica: OwnRedisServer

/** Opens both before the tests of the file, and closes them behind them. */
export function openShopAndReplica(): void {
  openShop()
  beforeAll(async () => {
    replica = await startRedis({ own: true })
  })
  afterAll(() => replica.stop())
}
