import { defineDecider, type Decider } from '@headwater/core'
import { z } from 'zod'

export type CounterCommand =
  | { readonly do: 'add'; readonly n: number; readonly times?: number }
  | { readonly do: 'nothing' }
  | { readonly do: 'invent' }
  | { readonly do: 'refuse' }

export interface Counter {
  readonly sum: number
  readonly events: number
}

export type CounterEvent = { readonly type: 'added'; readonly data: { n: number } }

/** Adds up, may do several things or nothing at once, and can be made to break its own rules. */
export const counters: Decider<Counter, CounterCommand, CounterEvent> = defineDecider('counters', {
  events: { added: z.object({ n: z.int() }) },
  initial: (): Counter => ({ sum: 0, events: 0 }),
  decide: (command: CounterCommand) => {
    switch (command.do) {
      case 'add':
        return Array.from({ length: command.times ?? 1 }, () => ({
          type: 'added' as const,
          data: { n: command.n },
        }))
      case 'nothing':
        return []
      case 'invent':
        return [{ type: 'invented' as 'added', data: { n: 1 } }]
      default:
        throw new Error('not today')
    }
  },
  evolve: ({ sum, events }, { data }) => ({ sum: sum + data.n, events: events + 1 }),
})
