import { defineCollection, type Collection } from '@headwater/core'
import { z } from 'zod'

export interface Book {
  id: string
  title: string
}

/** A collection of its own for each site, as each has a program of its own. */
export const booksCollection = (): Collection<Book> =>
  defineCollection('books', { schema: z.object({ id: z.string(), title: z.string() }), key: ({ id }) => id })
