import { defineCollection } from '@headwater/core'
import { z } from 'zod'

/** A feature of the web platform: the object that MDN publishes, and the dotted path at which it stands. */
const feature = z.object({
  path: z.string(),
  __compat: z.looseObject({ support: z.looseObject({}) }),
})

export type Feature = z.infer<typeof feature>

export const features = defineCollection('features', { schema: feature, key: ({ path }) => path })
