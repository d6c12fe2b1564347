import type { Cursor } from '../cursor.ts'
import { digits } from '../strings.ts'

const HEADER_BYTES = 10
const END = 0xff
const COUNT_UNKNOWN = 0xffff

/** All elements of a ziplist; every length in it is checked against the others. */
export function readZiplist(cursor: Cursor): Buffer[] {
  const total = cursor.uint32le()
  const tail = cursor.uint32le()
  const count = cursor.uint16le()
  if (total !== cursor.bytes.length)
    cursor.corrupt(`A ziplist of ${cursor.bytes.length} bytes claims ${total}.`)
  const elements: Buffer[] = []
  let previous = 0
  let last = HEADER_BYTES
  while (cursor.left > 0) {
    const start = cursor.at
    const first = cursor.byte()
    if (first === END) {
      if (cursor.left > 0) cursor.corrupt('A ziplist goes on behind its end.')
      if (tail !== last) cursor.corrupt(`A ziplist claims its last element at ${tail}; it is at ${last}.`)
      if (count !== COUNT_UNKNOWN && count !== elements.length)
        cursor.corrupt(`A ziplist of ${elements.length} elements claims ${count}.`)
      return elements
    }
    const claimed = first === 0xfe ? cursor.uint32le() : first
    if (claimed !== previous)
      cursor.corrupt('An element of a ziplist claims another length of the one before.')
    elements.push(readElement(cursor))
    last = start
    previous = cursor.at - start
  }
  return cursor.corrupt('A ziplist has no end.')
}

function readElement(cursor: Cursor): Buffer {
  const encoding = cursor.byte()
  switch (encoding >> 6) {
    case 0:
      return cursor.take(encoding)
    case 1:
      return cursor.take(((encoding & 0x3f) << 8) | cursor.byte())
    case 2:
      return cursor.take(cursor.uint32be())
    default:
      return readInteger(cursor, encoding)
  }
}

function readInteger(cursor: Cursor, encoding: number): Buffer {
  switch (encoding) {
    case 0xc0:
      return digits(cursor.intLe(2))
    case 0xd0:
      return digits(cursor.intLe(4))
    case 0xe0:
      return digits(cursor.int64le())
    case 0xf0:
      return digits(cursor.intLe(3))
    case 0xfe:
      return digits(cursor.intLe(1))
    default:
      if (encoding < 0xf1 || encoding > 0xfd) cursor.corrupt(`A ziplist has no encoding ${encoding}.`)
      return digits(encoding - 0xf1)
  }
}
