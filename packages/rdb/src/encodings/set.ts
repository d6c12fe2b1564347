import type { Cursor } from '../cursor.ts'
import { readLength } from '../lengths.ts'
import type { SetValue } from '../rdb-value.ts'
import { readBlob, readString } from '../strings.ts'
import { checkDistinct } from './distinct.ts'
import { readIntset } from './intset.ts'
import { readListpack } from './listpack.ts'

export function readSet(cursor: Cursor): SetValue {
  const count = readLength(cursor)
  const members: Buffer[] = []
  for (let index = 0; index < count; index++) members.push(readString(cursor))
  return distinctMembers(cursor, members)
}

export function readIntsetSet(cursor: Cursor): SetValue {
  return { type: 'set', members: readIntset(readBlob(cursor)) }
}

/** Small sets of Redis 7.2 and later. */
export function readListpackSet(cursor: Cursor): SetValue {
  return distinctMembers(cursor, readListpack(readBlob(cursor)))
}

function distinctMembers(cursor: Cursor, members: Buffer[]): SetValue {
  checkDistinct(cursor, 'A member of a set', members, (member) => member)
  return { type: 'set', members }
}
