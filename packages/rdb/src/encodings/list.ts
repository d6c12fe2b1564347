import type { Cursor } from '../cursor.ts'
import { readLength } from '../lengths.ts'
import type { ListValue } from '../rdb-value.ts'
import { readBlob, readString } from '../strings.ts'
import { readListpack } from './listpack.ts'
import { readZiplist } from './ziplist.ts'

const PLAIN_NODE = 1
const PACKED_NODE = 2

export function readList(cursor: Cursor): ListValue {
  const count = readLength(cursor)
  const elements: Buffer[] = []
  for (let index = 0; index < count; index++) elements.push(readString(cursor))
  return { type: 'list', elements }
}

export function readZiplistList(cursor: Cursor): ListValue {
  return { type: 'list', elements: readZiplist(readBlob(cursor)) }
}

/** Nodes that are ziplists each (Redis 3.2 to 6.2). */
export function readQuicklist(cursor: Cursor): ListValue {
  return readNodes(cursor, () => readZiplist(readBlob(cursor)))
}

/** Nodes that are listpacks, or single large elements (Redis 7.0 and later). */
export function readQuicklist2(cursor: Cursor): ListValue {
  return readNodes(cursor, () => {
    const container = readLength(cursor)
    if (container === PLAIN_NODE) return [readString(cursor)]
    if (container !== PACKED_NODE) cursor.corrupt(`A list has no nodes of kind ${container}.`)
    return readListpack(readBlob(cursor))
  })
}

function readNodes(cursor: Cursor, readNode: () => Buffer[]): ListValue {
  const count = readLength(cursor)
  const elements: Buffer[] = []
  for (let node = 0; node < count; node++) for (const element of readNode()) elements.push(element)
  return { type: 'list', elements }
}
