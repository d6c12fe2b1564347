import type { Position } from './position.ts'
import type { Stamp } from './stamp.ts'
import type { Version } from './version.ts'

/**
 * What happened to a key. A put carries the whole new value, a delete none. An event is one of a decider, or the value
 * that was put into a collection without state: each of them counts, so they are never coalesced.
 */
export type ChangeKind = 'put' | 'delete' | 'event'

/**
 * One change as it stands in the log: what sinks, feeds and readers get. `value`, `hash` and the texts are
 * computed at their first use, because not every reader needs them.
 */
export interface Change<T = unknown> {
  readonly collection: string
  readonly key: string
  readonly kind: ChangeKind
  /** The partition of the log, from 0. */
  readonly partition: number
  /** The state bucket of the key inside its partition, from 0; digests are kept one cell a bucket. */
  readonly bucket: number
  readonly stamp: Stamp
  readonly position: Position
  readonly version: Version
  /** Under which the value was stored. */
  readonly schemaVersion: number
  /** When Redis stored the change, in ms since 1970 by the clock of the Redis server. */
  readonly time: number
  /**
   * The value as canonical JSON (RFC 8785), exactly as stored; at a sink, in the shape of the present schema version.
   * Empty for a delete.
   */
  readonly payload: string
  /** The value in the shape of the collection's present schema version, whichever it was stored in; `undefined` for a delete. */
  readonly value: T | undefined
  /** The content hash, of the value as it was stored: 0 for a delete, else below 2^63. Depends on the log's own seed. */
  readonly hash: bigint
  /** What the append was given as metadata; empty when nothing was. */
  readonly metadata: Readonly<Record<string, string>>
  /** Trace context of the append (W3C `traceparent`, and after a space `tracestate`); undefined where nobody traced. */
  readonly trace?: string | undefined
}
