import { HeadwaterError } from '../errors/headwater-error.ts'

/** Longer keys are refused; databases stop indexing text not far above. */
export const keyBytesMax = 1_024

/** @throws HeadwaterError KEY_INVALID */
export function checkKey(collection: string, key: unknown): asserts key is string {
  if (typeof key !== 'string') {
    throw new HeadwaterError('KEY_INVALID', `A key of ${collection} is of type ${typeof key}, not text.`)
  }
  if (key.length === 0) throw new HeadwaterError('KEY_INVALID', `A key of ${collection} is empty.`)
  // Before anything that would have to put such a text together.
  if (key.length > keyBytesMax) {
    throw new HeadwaterError(
      'KEY_INVALID',
      `A key of ${collection} has ${key.length} characters; the limit is ${keyBytesMax} bytes.`,
    )
  }
  if (!key.isWellFormed()) {
    throw new HeadwaterError(
      'KEY_INVALID',
      `The key ${JSON.stringify(key.slice(0, 100))} of ${collection} has a lone surrogate.`,
    )
  }
  if (key.length > keyBytesMax / 3 && Buffer.byteLength(key) > keyBytesMax) {
    throw new HeadwaterError(
      'KEY_INVALID',
      `The key ${JSON.stringify(key.slice(0, 40))}… of ${collection} has ${Buffer.byteLength(key)} bytes; the limit is ${keyBytesMax}.`,
    )
  }
}

/** Keys are stored a line each, so a line feed is escaped, and the backslash that escapes it. Others stay as they are. */
export function escapeKey(key: string): string {
  if (!key.includes('\n') && !key.includes('\\')) return key
  return key.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

export function unescapeKey(text: string): string {
  if (!text.includes('\\')) return text
  return text.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
}
