import { defineCollection, type Collection } from '@headwater/core'
import { z } from 'zod'
import { microseconds } from './clock.ts'

const schema = z.object({
  id: z.string(),
  name: z.string(),
  onSale: z.boolean(),
  priceCents: z.int(),
  quantity: z.int(),
  /** When the application sent it, in µs of the machine's monotonic clock. */
  sentAt: z.int(),
})

/** What every system is given to carry: an object, as an application has it. */
export type Product = z.infer<typeof schema>

/** As most applications would define it. */
export const products: Collection<Product> = defineCollection('products', {
  schema,
  key: (product) => product.id,
})

/** The same without values beside the log. */
export const productVersions: Collection<Product> = defineCollection('product-versions', {
  schema,
  key: (product) => product.id,
  state: 'versions',
})

/**
 * Keys come round again only after so many products. That is more than a worker reads ahead, so it finds nothing to
 * coalesce and has to apply every single change.
 */
export const productKeys = 20_000

const filler = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_'.repeat(40)
const withoutName = JSON.stringify(bare(0, 0)).length - 1

/** The product of this key, with so many bytes of JSON. */
export function makeProduct(key: number, bytes: number): Product {
  const sentAt = microseconds()
  const product = bare(key, sentAt)
  const offset = sentAt % 64
  product.name = filler.slice(offset, offset + bytes - withoutName - String(sentAt).length)
  return product
}

function bare(key: number, sentAt: number): Product {
  return {
    id: `k${String(key).padStart(7, '0')}`,
    name: '',
    onSale: true,
    priceCents: 1_000 + (key % 9_000),
    quantity: 100 + (key % 900),
    sentAt,
  }
}
