import type { Cursor } from './cursor.ts'
import {
  readExpiringHash,
  readExpiringListpackHash,
  readHash,
  readListpackHash,
  readZiplistHash,
  readZipmapHash,
} from './encodings/hash.ts'
import { readList, readQuicklist, readQuicklist2, readZiplistList } from './encodings/list.ts'
import { readIntsetSet, readListpackSet, readSet } from './encodings/set.ts'
import {
  readListpackSortedSet,
  readSortedSet,
  readTextScoredSet,
  readZiplistSortedSet,
} from './encodings/sorted-set.ts'
import { readStream } from './encodings/stream.ts'
import type { RdbValue } from './rdb-value.ts'
import { readString } from './strings.ts'

/** A value that a module wrote before values told their own length. */
export const moduleTypeOpaque = 6
/** A value that a module wrote in parts that tell their length. */
export const moduleType = 7

/** How each type of value is read, by the number in the dump. */
export const valueTypes: ReadonlyMap<number, (cursor: Cursor) => RdbValue> = new Map<
  number,
  (cursor: Cursor) => RdbValue
>([
  [0, (cursor) => ({ type: 'string', value: readString(cursor) })],
  [1, readList],
  [2, readSet],
  [3, readTextScoredSet],
  [4, readHash],
  [5, readSortedSet],
  [9, readZipmapHash],
  [10, readZiplistList],
  [11, readIntsetSet],
  [12, readZiplistSortedSet],
  [13, readZiplistHash],
  [14, readQuicklist],
  [15, (cursor) => readStream(cursor, 1)],
  [16, readListpackHash],
  [17, readListpackSortedSet],
  [18, readQuicklist2],
  [19, (cursor) => readStream(cursor, 2)],
  [20, readListpackSet],
  [21, (cursor) => readStream(cursor, 3)],
  [22, (cursor) => readExpiringHash(cursor, 'absolute')],
  [23, (cursor) => readExpiringListpackHash(cursor, 'absolute')],
  [24, (cursor) => readExpiringHash(cursor, 'relative')],
  [25, (cursor) => readExpiringListpackHash(cursor, 'relative')],
])
