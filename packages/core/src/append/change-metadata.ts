import { HeadwaterError } from '../errors/headwater-error.ts'

const metadataBytesMax = 8_192

/**
 * As JSON; undefined where there is none.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export function encodeMetadata(metadata: Readonly<Record<string, string>>): string | undefined {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw new HeadwaterError('OPTION_INVALID', 'metadata must be an object of texts.')
  }
  const entries = Object.entries(metadata)
  for (const [name, value] of entries) {
    if (typeof value !== 'string' || !value.isWellFormed() || !name.isWellFormed()) {
      throw new HeadwaterError('OPTION_INVALID', `metadata ${JSON.stringify(name)} must be well-formed text.`)
    }
  }
  if (entries.length === 0) return undefined
  const json = JSON.stringify(metadata)
  if (Buffer.byteLength(json) > metadataBytesMax) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `metadata has ${Buffer.byteLength(json)} bytes as JSON; the limit is ${metadataBytesMax}.`,
    )
  }
  return json
}
