import { defineConfig } from '@headwater/cli'
import { collections, mappings } from './captured-types.ts'

export default defineConfig({
  collections: Object.values(collections),
  capture: () => ({ from: process.env['SOURCE_URL'] ?? '', collections: mappings }),
})
