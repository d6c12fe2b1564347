import type { Cursor } from '../cursor.ts'
import { digits } from '../strings.ts'

const END = 0xff
const COUNT_UNKNOWN = 0xffff

/** All elements of a listpack, integers as digits; every length in it is checked against the others. */
export function readListpack(cursor: Cursor): Buffer[] {
  const total = cursor.uint32le()
  const count = cursor.uint16le()
  if (total !== cursor.bytes.length)
    cursor.corrupt(`A listpack of ${cursor.bytes.length} bytes claims ${total}.`)
  const elements: Buffer[] = []
  while (cursor.left > 0) {
    const start = cursor.at
    const first = cursor.byte()
    if (first === END) {
      if (cursor.left > 0) cursor.corrupt('A listpack goes on behind its end.')
      if (count !== COUNT_UNKNOWN && count !== elements.length)
        cursor.corrupt(`A listpack of ${elements.length} elements claims ${count}.`)
      return elements
    }
    elements.push(readElement(cursor, first))
    checkBackLength(cursor, cursor.at - start)
  }
  return cursor.corrupt('A listpack has no end.')
}

function readElement(cursor: Cursor, first: number): Buffer {
  if (first < 0x80) return digits(first)
  if (first < 0xc0) return cursor.take(first & 0x3f)
  if (first < 0xe0) {
    const value = ((first & 0x1f) << 8) | cursor.byte()
    return digits(value >= 1 << 12 ? value - (1 << 13) : value)
  }
  if (first < 0xf0) return cursor.take(((first & 0x0f) << 8) | cursor.byte())
  switch (first) {
    case 0xf0:
      return cursor.take(cursor.uint32le())
    case 0xf1:
      return digits(cursor.intLe(2))
    case 0xf2:
      return digits(cursor.intLe(3))
    case 0xf3:
      return digits(cursor.intLe(4))
    case 0xf4:
      return digits(cursor.int64le())
    default:
      return cursor.corrupt(`A listpack has no encoding ${first}.`)
  }
}

// Behind each element stands its length in groups of 7 bits, the highest first, so that it can be read backwards.
function checkBackLength(cursor: Cursor, length: number): void {
  let groups = 1
  while (length >= 2 ** (7 * groups) - (groups === 1 ? 0 : 1)) groups++
  for (let group = groups - 1; group >= 0; group--) {
    const bits = Math.floor(length / 2 ** (7 * group)) & 0x7f
    if (cursor.byte() !== (group === groups - 1 ? bits : bits | 0x80))
      cursor.corrupt('The length behind an element of a listpack is wrong.')
  }
}
