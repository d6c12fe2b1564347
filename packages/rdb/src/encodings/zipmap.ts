import type { Cursor } from '../cursor.ts'

const END = 0xff
const LONG = 254
const COUNT_UNKNOWN = 254

/** All fields and values of a zipmap (hashes before Redis 2.6), one after the other. */
export function readZipmap(cursor: Cursor): Buffer[] {
  const count = cursor.byte()
  const elements: Buffer[] = []
  while (cursor.left > 0) {
    const first = cursor.byte()
    if (first === END) {
      if (cursor.left > 0) cursor.corrupt('A zipmap goes on behind its end.')
      if (count < COUNT_UNKNOWN && count * 2 !== elements.length)
        cursor.corrupt(`A zipmap of ${elements.length / 2} fields claims ${count}.`)
      return elements
    }
    elements.push(cursor.take(readLength(cursor, first)))
    const valueLength = readLength(cursor, cursor.byte())
    const unused = cursor.byte()
    elements.push(cursor.take(valueLength))
    cursor.skip(unused)
  }
  return cursor.corrupt('A zipmap has no end.')
}

function readLength(cursor: Cursor, first: number): number {
  if (first < LONG) return first
  if (first > LONG) cursor.corrupt('A zipmap ends in the middle of a field.')
  return cursor.uint32le()
}
