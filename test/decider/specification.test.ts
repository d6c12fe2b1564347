import { AssertionError } from 'node:assert'
import { specification } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { counters } from './counter.ts'

const added = (n: number) => ({ type: 'added' as const, data: { n } })
const spec = specification(counters)

describe('a specification by given, when, then', () => {
  it('holds where the decider does what it says', () => {
    spec
      .given(added(1), added(2))
      .when({ do: 'add', n: 3, times: 2 })
      .thenEvents(added(3), added(3))
      .thenState({ sum: 9, events: 4 })
    spec.when({ do: 'nothing' }).thenEvents().thenState({ sum: 0, events: 0 })
    spec.when({ do: 'refuse' }).thenThrows((error) => expect(error).toMatchObject({ message: 'not today' }))
  })

  it.each([
    ['another event', () => spec.when({ do: 'add', n: 1 }).thenEvents(added(2))],
    ['one event more', () => spec.when({ do: 'add', n: 1 }).thenEvents()],
    ['another state', () => spec.when({ do: 'add', n: 1 }).thenState({ sum: 2, events: 1 })],
    ['no refusal', () => spec.when({ do: 'nothing' }).thenThrows()],
  ])('fails at %s', (_, claim) => {
    expect(claim).toThrow(AssertionError)
  })

  it('passes on what the command threw where events were claimed', () => {
    expect(() => spec.when({ do: 'refuse' }).thenEvents()).toThrow('not today')
  })
})
