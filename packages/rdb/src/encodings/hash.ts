import type { Cursor } from '../cursor.ts'
import { readLength, readUint64 } from '../lengths.ts'
import type { HashField, HashValue } from '../rdb-value.ts'
import { readBlob, readString } from '../strings.ts'
import { checkDistinct } from './distinct.ts'
import { readListpack } from './listpack.ts'
import { readZiplist } from './ziplist.ts'
import { readZipmap } from './zipmap.ts'

/** Whether the times of fields are written as distances from the earliest of them, or as they are (Redis 7.4 RC). */
type FieldTimes = 'relative' | 'absolute'

export function readHash(cursor: Cursor): HashValue {
  const count = readLength(cursor)
  const fields: HashField[] = []
  for (let index = 0; index < count; index++)
    fields.push({ field: readString(cursor), value: readString(cursor) })
  return distinctFields(cursor, fields)
}

export function readZipmapHash(cursor: Cursor): HashValue {
  return fromPairs(cursor, readZipmap(readBlob(cursor)))
}

export function readZiplistHash(cursor: Cursor): HashValue {
  return fromPairs(cursor, readZiplist(readBlob(cursor)))
}

export function readListpackHash(cursor: Cursor): HashValue {
  return fromPairs(cursor, readListpack(readBlob(cursor)))
}

/** A large hash whose fields can expire (Redis 7.4 and later). */
export function readExpiringHash(cursor: Cursor, times: FieldTimes): HashValue {
  const earliest = times === 'relative' ? cursor.int64le() : 0n
  const count = readLength(cursor)
  const fields: HashField[] = []
  for (let index = 0; index < count; index++) {
    const time = readUint64(cursor)
    const expiresAtMs = times === 'relative' && time !== 0n ? time + earliest - 1n : time
    fields.push(withExpiry(cursor, readString(cursor), readString(cursor), expiresAtMs))
  }
  return distinctFields(cursor, fields)
}

/** A small hash whose fields can expire: field, value and time, one after the other (Redis 7.4 and later). */
export function readExpiringListpackHash(cursor: Cursor, times: FieldTimes): HashValue {
  // The earliest time, which is repeated at its field.
  if (times === 'relative') cursor.skip(8)
  const elements = readListpack(readBlob(cursor))
  if (elements.length % 3 !== 0) cursor.corrupt('A field of a hash has no time.')
  const fields: HashField[] = []
  for (let at = 0; at < elements.length; at += 3) {
    const time = elements[at + 2]!.toString('latin1')
    if (!/^\d+$/.test(time)) cursor.corrupt('The time of a field of a hash is no number.')
    fields.push(withExpiry(cursor, elements[at]!, elements[at + 1]!, BigInt(time)))
  }
  return distinctFields(cursor, fields)
}

// Redis keeps times of fields in 48 bits.
const TIME_MAX_MS = 2n ** 48n

function withExpiry(cursor: Cursor, field: Buffer, value: Buffer, expiresAtMs: bigint): HashField {
  if (expiresAtMs < 0n || expiresAtMs >= TIME_MAX_MS)
    cursor.corrupt(`A field cannot expire at ${expiresAtMs}.`)
  return expiresAtMs === 0n ? { field, value } : { field, value, expiresAtMs }
}

function fromPairs(cursor: Cursor, elements: readonly Buffer[]): HashValue {
  if (elements.length % 2 !== 0) cursor.corrupt('A field of a hash has no value.')
  const fields: HashField[] = []
  for (let at = 0; at < elements.length; at += 2)
    fields.push({ field: elements[at]!, value: elements[at + 1]! })
  return distinctFields(cursor, fields)
}

function distinctFields(cursor: Cursor, fields: HashField[]): HashValue {
  checkDistinct(cursor, 'A field of a hash', fields, ({ field }) => field)
  return { type: 'hash', fields }
}
