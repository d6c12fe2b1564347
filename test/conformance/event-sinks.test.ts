import {
  breakable,
  eventSinkClaims,
  eventSinkConformance,
  type EventSinkClaim,
  type EventSinkHarness,
} from '@headwater/conformance'
import { applied, parseVersion, stale, type Change, type Collection, type Outcome } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { EventTarget, PliableEventSink } from './pliable-event-sink.ts'

type SinkClass = new (collection: Collection, target: EventTarget) => PliableEventSink

function harnessOf(sinkClass: SinkClass, gaps: boolean): EventSinkHarness {
  return {
    supports: { transactions: true, gaps },
    runs: 50,
    async open(collection) {
      const target = new EventTarget()
      const another = async (): Promise<PliableEventSink> => new sinkClass(collection, target)
      return {
        sink: await another(),
        another,
        faulty: async () => breakable(await another()),
        taken: async () => target.taken,
        close: async () => {},
      }
    },
  }
}

class TakesAnything extends PliableEventSink {
  protected override isTooEarly(): boolean {
    return false
  }
}

eventSinkConformance('events, with gaps', harnessOf(PliableEventSink, true))
eventSinkConformance('events, without gaps', harnessOf(TakesAnything, false))

const flaws: Record<string, { readonly sink: SinkClass; readonly refutes: string }> = {
  'does not say that it takes events': {
    sink: class extends PliableEventSink {
      override readonly takes = 'state' as never
    },
    refutes: 'says that it takes events',
  },
  'keeps the newest of a batch of calls only': {
    sink: class extends PliableEventSink {
      protected override note(change: Change): void {
        super.note(change)
        const before = this.target.taken.findIndex(({ key }) => key === change.key)
        if (parseVersion(change.version).number % 5 === 0) this.target.taken.splice(before, 1)
      }
    },
    refutes: 'takes every event, one for one',
  },
  'takes what it has again': {
    sink: class extends PliableEventSink {
      protected override take(change: Change): Outcome {
        const outcome = super.take(change)
        if (outcome === stale) this.note(change)
        return outcome
      }
    },
    refutes: 'takes an event once',
  },
  'remembers in its process only what it has': {
    sink: class extends PliableEventSink {
      readonly #seen = new Set<string>()
      protected override take(change: Change): Outcome {
        if (this.#seen.has(change.position)) return stale
        this.#seen.add(change.position)
        this.note(change)
        return applied
      }
    },
    refutes: 'takes an event once',
  },
  'compares versions where stamps count': {
    sink: class extends PliableEventSink {
      protected override isNewer(change: Change, held: Change): boolean {
        return parseVersion(change.version).number > parseVersion(held.version).number
      }
    },
    refutes: 'goes on in a later epoch',
  },
  'takes what is delivered again when the answer was lost': {
    sink: class extends PliableEventSink {
      readonly #delivered = new Set<string>()
      protected override take(change: Change): Outcome {
        const outcome = super.take(change)
        if (outcome === stale && this.#delivered.has(change.position)) this.note(change)
        this.#delivered.add(change.position)
        return outcome
      }
    },
    refutes: 'has each event once when a request or an answer was lost',
  },
  'takes what comes too early': { sink: TakesAnything, refutes: 'answers gap' },
}

const claimsThatBegin = (words: string): EventSinkClaim[] =>
  eventSinkClaims.filter(({ claim }) => claim.startsWith(words))

describe('the conformance kit for events', () => {
  it.each(Object.entries(flaws))('denies a sink that %s', async (_, { sink, refutes }) => {
    const claims = claimsThatBegin(refutes)
    expect(claims).toHaveLength(1)
    await expect(claims[0]!.run(harnessOf(sink, true))).rejects.toBeInstanceOf(Error)
  })

  it('claims nothing of events that all of these sinks do', () => {
    const denied = new Set(Object.values(flaws).map(({ refutes }) => claimsThatBegin(refutes)[0]))
    const ofEvents = eventSinkClaims.slice(
      0,
      eventSinkClaims.findIndex(({ claim }) => claim.startsWith('refuses apply')),
    )
    expect(ofEvents.filter((claim) => !denied.has(claim)).map(({ claim }) => claim)).toEqual([])
  })
})
