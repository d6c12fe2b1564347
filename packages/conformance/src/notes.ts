import { defineCollection, type Collection } from '@headwater/core'
import { z } from 'zod'

/** A value whose content may be any JSON. */
export interface Note {
  id: string
  content: z.core.util.JSONType
}

/** The kit's collection of free JSON. */
export const notes: Collection<Note> = defineCollection('notes', {
  schema: z.object({ id: z.string(), content: z.json() }),
  key: (note) => note.id,
})
