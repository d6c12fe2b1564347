import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Version } from '../change/version.ts'
import type { Expected } from './expected.ts'

/** Somebody else changed the key first. Nothing of the append was stored; its idempotency key is free again. */
export class VersionConflictError extends HeadwaterError {
  readonly key: string
  readonly expected: Expected
  /** The version the key has, or undefined when it never existed or was deleted. */
  readonly actual: Version | undefined

  constructor(collection: string, key: string, expected: Expected, actual: Version | undefined) {
    const is = actual === undefined ? 'does not exist' : `is at version ${actual}`
    super(
      'VERSION_CONFLICT',
      `Key ${JSON.stringify(key)} of ${collection} ${is}, but the append expected ${expected}: read it again and decide again.`,
    )
    this.key = key
    this.expected = expected
    this.actual = actual
  }
}
