import { connect, defineCollection, type Log } from '@headwater/core'
import { z } from 'zod'

/** Where the log is: `npm run dev` serves it, or whatever REDIS_URL names. */
export const redis = process.env.REDIS_URL ?? 'redis://127.0.0.1:6390'
export const namespace = 'shop'

export const products = defineCollection('products', {
  schema: z.object({ sku: z.string(), name: z.string(), priceCents: z.int() }),
  key: (product) => product.sku,
})

export function openShop(): Promise<Log> {
  return connect(redis, { namespace, collections: [products] })
}
