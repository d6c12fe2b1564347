import { escapeKey } from '../change/key.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'

const idempotencyKeyBytesMax = 256

/** The field under which a result is remembered. Scoped to the entity, so that the same request id on two entities is two changes. */
export function idempotencyField({ name }: AnyCollection, key: string, idempotencyKey: string): string {
  return `${name}/${escapeKey(key)}\n${idempotencyKey}`
}

/** @throws HeadwaterError OPTION_INVALID */
export function checkIdempotencyKey(key: unknown): void {
  if (
    typeof key === 'string' &&
    key.length > 0 &&
    key.isWellFormed() &&
    Buffer.byteLength(key) <= idempotencyKeyBytesMax
  )
    return
  throw new HeadwaterError(
    'OPTION_INVALID',
    `idempotencyKey must be 1 to ${idempotencyKeyBytesMax} bytes of well-formed text.`,
  )
}
