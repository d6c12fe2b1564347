import type { Position } from '../change/position.ts'
import type { HeadwaterError } from '../errors/headwater-error.ts'
import type { Difference } from '../verify/verify.ts'

interface Where {
  readonly group: string
  readonly partition: number
}

/** What a worker tells about itself: for logs, and for tests that wait for something to happen. */
export type WorkerEvent =
  | (Where & { readonly kind: 'acquired'; readonly token: number })
  /** Given up on purpose, or taken by another worker. */
  | (Where & { readonly kind: 'released'; readonly reason: 'stopping' | 'rebalanced' | 'drained' })
  | (Where & { readonly kind: 'lost'; readonly reason: string })
  /** A sink or Redis failed and is tried again. Told at the first failure, then at every tenth. */
  | (Where & { readonly kind: 'retrying'; readonly error: HeadwaterError; readonly attempt: number })
  | (Where & {
      readonly kind: 'parked'
      readonly key: string
      readonly changes: number
      readonly error: HeadwaterError
    })
  /** Nothing of a key is parked any more: its next change goes to the sink again. */
  | (Where & { readonly kind: 'redriven'; readonly key: string; readonly changes: number })
  /** A key was fed back, and is rejected again: it stays parked. */
  | (Where & { readonly kind: 'redrive-refused'; readonly key: string; readonly error: HeadwaterError })
  /** There is no room to park any more: the partition stands still until there is. */
  | (Where & { readonly kind: 'standstill'; readonly error: HeadwaterError })
  | (Where & { readonly kind: 'going-on' })
  /** Somebody paused, resumed or changed the partition at run time: this is how it works from now on. */
  | (Where & {
      readonly kind: 'steered'
      readonly paused: boolean
      readonly concurrency: number
      /** The share of this partition; undefined without a limit. */
      readonly changesPerSecond: number | undefined
    })
  /** Workers died here one after the other: changes go one at a time now, until the one that kills them is known. */
  | (Where & {
      readonly kind: 'isolating'
      readonly deaths: number
      readonly from: number
      readonly to: number
    })
  /** The group had disappeared from Redis and was made again where the worker stood. */
  | (Where & { readonly kind: 'group-restored' })
  /** The log lost history that the sink, or this worker, had seen. The partition goes on in the history that survived. */
  | (Where & {
      readonly kind: 'history-lost'
      readonly epoch: number
      readonly from: number
      readonly to: number
    })
  /** The sink stands behind the group's checkpoint (restored, emptied): changes are applied again from there. */
  | (Where & { readonly kind: 'sink-behind'; readonly from: number; readonly to: number })
  /** The partition cannot go on: changes that it needs are missing. */
  | (Where & { readonly kind: 'damaged'; readonly error: HeadwaterError })
  /** At a marker of the log the sink did not hold what it should. Told once until it is equal again. */
  | (Where & { readonly kind: 'differs'; readonly at: Position; readonly found: string })
  /** The sink gets its first copy of the state, or the rest of it: so many keys were copied before. */
  | (Where & { readonly kind: 'copying'; readonly copied: number })
  /** The first copy is done: from here on the sink gets the changes. */
  | (Where & { readonly kind: 'copied'; readonly copied: number })
  /** A walk through the stored values came to one that is not what the log says. */
  | (Where & { readonly kind: 'edited'; readonly key: string; readonly verdict: Difference['verdict'] })
