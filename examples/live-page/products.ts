import { defineCollection, type Collection } from '@headwater/core'
import { z } from 'zod'

const productSchema = z.object({ sku: z.string(), name: z.string(), stock: z.int().min(0) })

export type Product = z.infer<typeof productSchema>

export const products: Collection<Product> = defineCollection('products', {
  schema: productSchema,
  key: ({ sku }) => sku,
})

export const shelf: readonly Product[] = [
  { sku: 'axe', name: 'Felling axe', stock: 12 },
  { sku: 'boots', name: 'Rubber boots', stock: 31 },
  { sku: 'lamp', name: 'Storm lamp', stock: 7 },
  { sku: 'rope', name: 'Hemp rope, 20 m', stock: 18 },
  { sku: 'saw', name: 'Bow saw', stock: 5 },
]
