import type { Cursor } from '../cursor.ts'
import { digits } from '../strings.ts'

/** All members of an intset, in ascending order. */
export function readIntset(cursor: Cursor): Buffer[] {
  const width = cursor.uint32le()
  const count = cursor.uint32le()
  if (width !== 2 && width !== 4 && width !== 8)
    cursor.corrupt(`An intset has no integers of ${width} bytes.`)
  if (cursor.left !== width * count)
    cursor.corrupt(`An intset of ${count} integers cannot have ${cursor.left} bytes.`)
  const members: Buffer[] = []
  let previous: number | bigint | undefined
  for (let index = 0; index < count; index++) {
    const integer = width === 8 ? cursor.int64le() : cursor.intLe(width)
    if (previous !== undefined && integer <= previous) cursor.corrupt('An intset is not in ascending order.')
    previous = integer
    members.push(digits(integer))
  }
  return members
}
