import type { TakenEvent } from '@headwater/conformance'
import {
  applied,
  compareStamps,
  gap,
  HeadwaterError,
  parseVersion,
  stale,
  type Change,
  type Collection,
  type Fence,
  type OpenPartitionOptions,
  type Outcome,
  type Sink,
  type SinkPartition,
  type SinkPosition,
} from '@headwater/core'

/** What stands where a server would: events, and the bookkeeping of each group's partitions. */
export class EventTarget {
  readonly taken: TakenEvent[] = []
  readonly held: Map<string, Change> = new Map()
  readonly fences: Map<string, Fence> = new Map()
  readonly positions: Map<string, SinkPosition> = new Map()
  lineage: string | undefined
}

/** A sound sink of events in this process, written to be broken: each step is a method that a flaw replaces. */
export class PliableEventSink implements Sink {
  readonly takes = 'events'
  readonly name: string
  readonly capabilities = {
    transactions: true,
    list: false,
    read: false,
    concurrency: 1,
    batch: { changes: 100, bytes: 100_000 },
  }
  readonly collection: Collection
  readonly target: EventTarget

  constructor(collection: Collection, target: EventTarget) {
    this.name = `events of "${collection.name}"`
    this.collection = collection
    this.target = target
  }

  async open({ lineage, group, partition, fence }: OpenPartitionOptions): Promise<SinkPartition> {
    const place = `${group} ${partition}`
    const { fences, positions } = this.target
    this.target.lineage ??= lineage
    if (this.target.lineage !== lineage) throw new HeadwaterError('SINK_MISCONFIGURED', 'Of another log.')
    const held = fences.get(place)
    if (held && this.isOlder(fence, held)) throw new HeadwaterError('SINK_FENCED', 'An older fence.')
    fences.set(place, fence)
    const checked = (): void => {
      if (fences.get(place)?.owner !== fence.owner) throw new HeadwaterError('SINK_FENCED', 'Not its owner.')
    }
    const move = (position: SinkPosition): void => {
      const before = positions.get(place)
      if (!before || compareStamps(position, before) > 0) positions.set(place, position)
    }
    return {
      position: positions.get(place),
      apply: async (changes, position) => {
        checked()
        const outcomes = changes.map((change) => this.take(change))
        move(position)
        return outcomes
      },
      advance: async (position) => {
        checked()
        move(position)
      },
      close: async () => {},
    }
  }

  async close(): Promise<void> {}

  protected take(change: Change): Outcome {
    const held = this.target.held.get(change.key)
    if (held && !this.isNewer(change, held)) return stale
    if (this.isTooEarly(change, held)) return gap(change, held?.version)
    this.note(change)
    return applied
  }

  protected isNewer(change: Change, held: Change): boolean {
    return compareStamps(change.stamp, held.stamp) > 0
  }

  /** A later epoch may go back to a lower version, and not jump over one. */
  protected isTooEarly(change: Change, held: Change | undefined): boolean {
    const before = held === undefined ? 0 : parseVersion(held.version).number
    return parseVersion(change.version).number > before + 1
  }

  protected note(change: Change): void {
    const { key, kind, version, value } = change
    this.target.held.set(key, change)
    this.target.taken.push({ key, kind, version, value })
  }

  private isOlder(fence: Fence, held: Fence): boolean {
    if (fence.owner === held.owner && fence.epoch === held.epoch && fence.token === held.token) return false
    return fence.epoch < held.epoch || (fence.epoch === held.epoch && fence.token <= held.token)
  }
}
