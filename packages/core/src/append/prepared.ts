import type { AnyCollection } from '../collection/collection.ts'
import type { HashLanes } from '../change/content-hash.ts'
import type { AppendResult } from './append-result.ts'
import type { AppendOrigin } from '../origin/append-from-origin.ts'
import type { Expected } from './expected.ts'

/** One letter: p put, d delete, e event. */
export type Operation = 'p' | 'd' | 'e'

/** A change that was validated, encoded and routed: what the batcher takes. */
export interface PreparedChange {
  readonly collection: AnyCollection
  readonly key: string
  readonly escapedKey: string
  readonly operation: Operation
  readonly payload: string
  /** Of an event: the state of its key with it, as canonical JSON; undefined where a later one of the request brings it. */
  readonly folded?: string
  /** Hash of what the state keeps. */
  readonly hash: HashLanes
  readonly bucket: number
  readonly expected: Expected
  /** `expected` as the script reads it; undefined for any. */
  readonly expectedCode: string | undefined
}

/** Changes that enter together or not at all, and whoever waits for them. */
export interface PreparedRequest {
  readonly changes: readonly PreparedChange[]
  /** The field under which the result is remembered; undefined without an idempotency key. */
  readonly idempotencyField: string | undefined
  /** JSON; undefined without metadata. */
  readonly metadata: string | undefined
  /** Trace context of the append, as `formatTrace` writes it; undefined where nobody traces. */
  readonly trace?: string | undefined
  /** Whose change it is, where another system's is brought into the log. */
  readonly origin?: AppendOrigin | undefined
  /** Characters of keys, payloads and metadata. */
  readonly size: number
  /** `performance.now()` after which it is given up. */
  readonly deadline: number
  readonly resolve: (results: AppendResult[]) => void
  readonly reject: (error: Error) => void
}
