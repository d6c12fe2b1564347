import {
  applied,
  compareStamps,
  stale,
  stampZero,
  type AnyCollection,
  type Change,
  type Sink,
  type SinkPosition,
  type Stamp,
} from '@headwater/core'

export interface EventSink extends Sink {
  /** Every change that was taken, in the order of taking. */
  readonly taken: readonly Change[]
}

/** A sink in this process that wants each change as it was appended. */
export function eventSink(collection: AnyCollection): EventSink {
  const taken: Change[] = []
  const held = new Map<string, Stamp>()
  const positions = new Map<number, SinkPosition>()
  return {
    name: `events of "${collection.name}"`,
    collection,
    takes: 'events',
    capabilities: {
      transactions: true,
      list: false,
      read: false,
      concurrency: 1,
      batch: { changes: 1_000, bytes: 1_048_576 },
    },
    taken,
    async open({ partition }) {
      return {
        position: positions.get(partition),
        async apply(changes, position) {
          positions.set(partition, position)
          return changes.map((change) => {
            if (compareStamps(change.stamp, held.get(change.key) ?? stampZero) <= 0) return stale
            held.set(change.key, change.stamp)
            taken.push(change)
            return applied
          })
        },
        async advance(position) {
          positions.set(partition, position)
        },
        async close() {},
      }
    },
    async close() {},
  }
}
