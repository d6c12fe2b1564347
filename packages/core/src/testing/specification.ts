import { deepStrictEqual, fail } from 'node:assert/strict'
import { canonicalJson } from '../change/canonical-json.ts'
import type { Decider } from '../collection/decider.ts'

/** What is claimed of a decider, step by step. Claims throw node's `AssertionError`, so they work in every test runner. */
export interface Specification<State, Command, Event> {
  /** What happened before; nothing where it is left out. */
  given(...events: readonly Event[]): Specification<State, Command, Event>
  /** The command that is decided on. */
  when(command: Command): SpecifiedCommand<State, Command, Event>
}

export interface SpecifiedCommand<State, Command, Event> {
  /** Exactly these events happen, in this order; without any: nothing happens. */
  thenEvents(...events: readonly Event[]): SpecifiedCommand<State, Command, Event>
  /** The folded state afterwards. */
  thenState(state: State): SpecifiedCommand<State, Command, Event>
  /** The command is refused; what is thrown is given to `check`, if there is one. */
  thenThrows(check?: (error: unknown) => void): void
}

/** Specifies a decider by given, when, then. Pure: no log, no server. */
export function specification<State, Command, Event>(
  decider: Decider<State, Command, Event>,
): Specification<State, Command, Event> {
  return specify(decider, [])
}

function specify<State, Command, Event>(
  { decides }: Decider<State, Command, Event>,
  past: readonly Event[],
): Specification<State, Command, Event> {
  const fold = (state: State, events: readonly Event[]): State =>
    events.reduce((folded, event) => asStored(decides.evolve(folded, asStored(event))), state)
  return {
    given: (...events) => specify({ decides } as Decider<State, Command, Event>, [...past, ...events]),
    when(command) {
      const before = fold(decides.initial(), past)
      let events: readonly Event[] | undefined
      let refusal: unknown
      try {
        events = decides.decide(command, before)
      } catch (error) {
        refusal = error
      }
      const decided = (): readonly Event[] => {
        if (events) return events
        throw refusal
      }
      const specified: SpecifiedCommand<State, Command, Event> = {
        thenEvents(...expected) {
          deepStrictEqual(decided().map(asStored), expected.map(asStored))
          return specified
        },
        thenState(state) {
          deepStrictEqual(fold(before, decided()), asStored(state))
          return specified
        },
        thenThrows(check) {
          if (events) fail(`The command was not refused; it made ${canonicalJson(events)} happen.`)
          check?.(refusal)
        },
      }
      return specified
    },
  }
}

/** As it comes back from the log. */
function asStored<T>(value: T): T {
  return JSON.parse(canonicalJson(value)) as T
}
