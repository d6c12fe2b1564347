import { canonicalJson } from '../change/canonical-json.ts'
import type { Hasher } from '../change/content-hash.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { isHeadwaterError } from '../errors/headwater-error.ts'
import type { SinkValue } from '../sink/sink.ts'

/**
 * Whether what a sink holds of a key has the content that its own bookkeeping says. A tombstone has none; what no JSON
 * can say is nothing that was ever applied. Which schema version a value was written under stands nowhere beside it, so
 * each that the collection has had is tried, the latest first.
 */
export function hasItsContent(hasher: Hasher, collection: AnyCollection, held: SinkValue): boolean {
  if (held.deleted) return held.value === undefined
  const payload = canonicalOf(held.value)
  if (payload === undefined) return false
  for (let version = collection.schemaVersion; version >= 1; version--) {
    if (hasher.content(collection.name, version, 'put', held.key, payload) === held.hash) return true
  }
  return false
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
