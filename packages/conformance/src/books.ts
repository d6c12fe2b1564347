import { defineCollection, type Collection } from '@headwater/core'
import { z } from 'zod'

/** A value with every shape that columns are made for. */
export interface Book {
  id: string
  title: string
  pages: number
  weightKg: number
  inPrint: boolean
  subtitle: string | null
  series?: string | undefined
  publisher: { name: string; city: string | null }
  tags: string[]
  publishedAt: string
}

/** The kit's typed collection: text, integer, number, boolean, nullable, optional, object, array, date-time. */
export const books: Collection<Book> = defineCollection('books', {
  schema: z.object({
    id: z.string(),
    title: z.string(),
    pages: z.int(),
    weightKg: z.number(),
    inPrint: z.boolean(),
    subtitle: z.string().nullable(),
    series: z.string().optional(),
    publisher: z.object({ name: z.string(), city: z.string().nullable() }),
    tags: z.array(z.string()),
    publishedAt: z.iso.datetime(),
  }),
  key: (book) => book.id,
})

/** A plain book of this key; `changes` replace what the test is about. */
export function aBook(id: string, changes: Partial<Book> = {}): Book {
  return {
    id,
    title: `The book of ${id.slice(0, 40)}`,
    pages: 288,
    weightKg: 0.42,
    inPrint: true,
    subtitle: null,
    publisher: { name: 'Quay Press', city: 'Porto' },
    tags: ['rivers', 'maps'],
    publishedAt: '2019-03-14T09:26:53Z',
    ...changes,
  }
}
