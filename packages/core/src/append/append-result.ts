import type { Position } from '../change/position.ts'
import type { Version } from '../change/version.ts'

/** What an acknowledged change became. */
export interface AppendResult {
  readonly key: string
  readonly version: Version
  readonly position: Position
  /** Whether this is the result of an earlier append with the same idempotency key. */
  readonly duplicate: boolean
}
