import { afterAll, beforeAll } from 'vitest'
import { Shop } from './shop.ts'

// A shop for a file of tests.

export let shop: Shop

/** Opens it before the tests of the file, and closes it behind them. */
export function openShop(): void {
  beforeAll(async () => {
    shop = await Shop.open()
  })
  afterAll(() => shop[Symbol.asyncDispose]())
}
