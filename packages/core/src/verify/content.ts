import { canonicalJson } from '../change/canonical-json.ts'
import type { Hasher } from '../change/content-hash.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { isHeadwaterError } from '../errors/headwater-error.ts'
import type { SinkValue } from '../sink/sink.ts'

/**
 * Whether the value that a sink holds has the hash that stands beside it. A tombstone has no value; what no JSON can say
 * is nothing that was ever applied.
 *
 * @param schemaVersion under which the log has stored it
 */
export function hasItsContent(
  hasher: Hasher,
  collection: AnyCollection,
  held: SinkValue,
  schemaVersion: number,
): boolean {
  if (held.deleted) return held.value === undefined
  const payload = canonicalOf(held.value)
  return (
    payload !== undefined &&
    hasher.content(collection.name, schemaVersion, 'put', held.key, payload) === held.hash
  )
}

/** Whether two values are the same JSON; both undefined for what is deleted. */
export function isSameValue(a: unknown, b: unknown): boolean {
  if (a === undefined || b === undefined) return a === b
  const text = canonicalOf(a)
  return text !== undefined && text === canonicalOf(b)
}

/** The value as canonical JSON; undefined where it is no JSON. */
function canonicalOf(value: unknown): string | undefined {
  try {
    return canonicalJson(value)
  } catch (error) {
    if (isHeadwaterError(error, 'VALUE_INVALID')) return undefined
    throw error
  }
}
