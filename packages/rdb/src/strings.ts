import { Cursor } from './cursor.ts'
import { readLength, readStringLength, specialStrings } from './lengths.ts'
import { canExpandTo, decompressLzf } from './lzf.ts'

/** A string as its bytes; integers as their decimal digits. */
export function readString(cursor: Cursor): Buffer {
  const start = readStringLength(cursor)
  return start.special ? specialString(cursor, start.form) : cursor.take(start.length)
}

/** A string that holds many values in one of the compact encodings, to be read on its own. */
export function readBlob(cursor: Cursor): Cursor {
  const offset = cursor.offset
  const start = readStringLength(cursor)
  if (start.special)
    return new Cursor(specialString(cursor, start.form), { offset, isVerbatim: false, isOpen: false })
  const dataOffset = cursor.offset
  return new Cursor(cursor.take(start.length), { offset: dataOffset, isVerbatim: true, isOpen: false })
}

/** The decimal digits of an integer, as Redis answers it. */
export function digits(integer: number | bigint): Buffer {
  return Buffer.from(String(integer), 'latin1')
}

function specialString(cursor: Cursor, form: number): Buffer {
  switch (form) {
    case specialStrings.int8:
      return digits(cursor.intLe(1))
    case specialStrings.int16:
      return digits(cursor.intLe(2))
    case specialStrings.int32:
      return digits(cursor.intLe(4))
    case specialStrings.lzf:
      return compressedString(cursor)
    default:
      return cursor.corrupt(`A string cannot have the form ${form}.`)
  }
}

function compressedString(cursor: Cursor): Buffer {
  const compressedLength = readLength(cursor)
  const length = readLength(cursor)
  const compressed = cursor.take(compressedLength)
  const bytes = canExpandTo(compressedLength, length) ? decompressLzf(compressed, length) : undefined
  return bytes ?? cursor.corrupt(`${compressedLength} compressed bytes do not expand to ${length}.`)
}
