import { defineConfig } from '@headwater/cli'
import { defineCollection } from '@headwater/core'
import { z } from 'zod'

const products = defineCollection('products', {
  schema: z.object({ sku: z.string(), name: z.string() }),
  key: (product) => product.sku,
})

export default defineConfig({ collections: [products] })
