import { defineCollection } from '@headwater/core'
import { captured } from '@headwater/redis'
import { z } from 'zod'

/** What the application keeps as a hash `user:<id>`: in Redis everything is text, here it has types. */
export const users = defineCollection('users', {
  schema: z.object({ id: z.string(), name: z.string(), age: z.coerce.number().int() }),
  key: ({ id }) => id,
})

export const capturedUsers = captured(users, {
  keys: 'user:*',
  value: ({ name = '', age = '' }, id) => ({ id, name, age }),
})
