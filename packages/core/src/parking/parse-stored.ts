import { HeadwaterError } from '../errors/headwater-error.ts'

/**
 * Reads what a group has stored as JSON. Its content is not repeated: it may be a payload.
 *
 * @throws HeadwaterError LOG_DAMAGED
 */
export function parseStored(what: string, json: string): Readonly<Record<string, unknown>> {
  let parsed: unknown
  try {
    parsed = JSON.parse(json)
  } catch {
    // Told below, as what is JSON and no object.
  }
  if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>
  throw new HeadwaterError(
    'LOG_DAMAGED',
    `A ${what} cannot be read (${json.length} characters): somebody has written there. Restore it, or rebuild the copy from the state.`,
  )
}
