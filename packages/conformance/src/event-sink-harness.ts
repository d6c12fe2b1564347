import type { ChangeKind, Collection, Version } from '@headwater/core'
import type { SinkHarness, SinkTarget } from './sink-harness.ts'

/** What the test of an adapter that takes events gives to the kit. */
export interface EventSinkHarness {
  readonly supports: {
    readonly transactions: boolean
    /** Whether it answers `gap` where it lacks what came before an event, instead of taking it. */
    readonly gaps: boolean
  }
  /** How long a sink may take to recover from a broken link, in ms. Default 10,000. */
  readonly patienceMs?: number
  /** How many random histories each property is tried with. Default 20. */
  readonly runs?: number
  /** Makes a new target without events, and a sink on it. The kit calls `prepare`. */
  open<T>(collection: Collection<T>): Promise<EventSinkTarget>
}

/** An event that the target has, as its users see it. */
export interface TakenEvent {
  readonly key: string
  readonly kind: ChangeKind
  readonly version: Version
  /** Undefined for a delete. */
  readonly value: unknown
}

export interface EventSinkTarget extends Omit<SinkTarget, 'dump'> {
  /** Every event that was taken, in the order of taking: not read through the adapter. */
  taken(): Promise<readonly TakenEvent[]>
}

/** The target as what its events add up to, for the claims that are made of every sink. */
export function asStates(
  harness: EventSinkHarness,
  opened: (target: EventSinkTarget) => void = () => {},
): SinkHarness {
  const { transactions } = harness.supports
  return {
    ...harness,
    supports: { transactions, list: false, read: false, nul: true },
    async open(collection) {
      const target = await harness.open(collection)
      opened(target)
      const dump = async (): Promise<Map<string, unknown>> => {
        const live = new Map<string, unknown>()
        for (const { key, kind, value } of await target.taken()) {
          if (kind === 'delete') live.delete(key)
          else live.set(key, value)
        }
        return live
      }
      return { ...target, dump }
    },
  }
}
