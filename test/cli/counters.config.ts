import { defineConfig } from '@headwater/cli'
import { defineDecider } from '@headwater/core'
import { z } from 'zod'

/** Counts what is added to it. */
export const counters = defineDecider('counters', {
  events: { added: z.object({ by: z.int() }) },
  initial: () => ({ sum: 0 }),
  decide: (by: number) => [{ type: 'added', data: { by } }],
  evolve: ({ sum }, { data }) => ({ sum: sum + data.by }),
})

export default defineConfig({ collections: [counters] })
