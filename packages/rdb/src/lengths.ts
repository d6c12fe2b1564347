import type { Cursor } from './cursor.ts'

/** How a string is written when not as length and bytes: as the two low bits of the first byte say. */
export const specialStrings = { int8: 0, int16: 1, int32: 2, lzf: 3 } as const

const FORM_64_BITS = 0x81

/** A length, or the mark of a string that is written in another way. */
export type LengthOrSpecial =
  | { readonly special: false; readonly length: number }
  | { readonly special: true; readonly form: number }

/** A length or a count. */
export function readLength(cursor: Cursor): number {
  const first = cursor.byte()
  switch (first >> 6) {
    case 0:
      return first
    case 1:
      return ((first & 0x3f) << 8) | cursor.byte()
    case 2:
      return longLength(cursor, first)
    default:
      return cursor.corrupt('A length is expected here, and not a string in a special form.')
  }
}

/** As a string begins. */
export function readStringLength(cursor: Cursor): LengthOrSpecial {
  const at = cursor.at
  const first = cursor.byte()
  if (first >> 6 === 3) return { special: true, form: first & 0x3f }
  return first < 64
    ? { special: false, length: first }
    : { special: false, length: readLength(cursor.rewindTo(at)) }
}

/** A 64-bit integer without sign, written as lengths are. */
export function readUint64(cursor: Cursor): bigint {
  const at = cursor.at
  if (cursor.byte() === FORM_64_BITS) return cursor.uint64be()
  return BigInt(readLength(cursor.rewindTo(at)))
}

function longLength(cursor: Cursor, first: number): number {
  if (first === 0x80) return cursor.uint32be()
  if (first !== FORM_64_BITS) cursor.corrupt(`A length cannot begin with byte ${first}.`)
  const length = cursor.uint64be()
  if (length > BigInt(Number.MAX_SAFE_INTEGER)) cursor.corrupt(`${length} is too large for a length.`)
  return Number(length)
}
