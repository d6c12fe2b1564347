import { defineCollection } from '@headwater/core'
import { captured } from '@headwater/redis'
import { z } from 'zod'

/** Of each value of a source its length: what is read is large, and what the log keeps is small. */
export const sizes = defineCollection('sizes', {
  schema: z.object({ id: z.string(), length: z.int() }),
  key: ({ id }) => id,
})

export const sizesOfKeys = captured(sizes, {
  keys: 'key:*',
  type: 'string',
  value: (value, id) => ({ id, length: value.length }),
})
