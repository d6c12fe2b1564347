import type { Cursor } from '../cursor.ts'
import { readLength } from '../lengths.ts'
import type { ScoredMember, SortedSetValue } from '../rdb-value.ts'
import { readBlob, readString } from '../strings.ts'
import { checkDistinct } from './distinct.ts'
import { readListpack } from './listpack.ts'
import { readZiplist } from './ziplist.ts'

/** Scores as text (before Redis 4.0). */
export function readTextScoredSet(cursor: Cursor): SortedSetValue {
  return readMembers(cursor, () => {
    const length = cursor.byte()
    if (length === 253) return NaN
    if (length === 254) return Infinity
    if (length === 255) return -Infinity
    return parseScore(cursor, cursor.take(length))
  })
}

/** Scores as doubles. */
export function readSortedSet(cursor: Cursor): SortedSetValue {
  return readMembers(cursor, () => cursor.doubleLe())
}

export function readZiplistSortedSet(cursor: Cursor): SortedSetValue {
  return fromPairs(cursor, readZiplist(readBlob(cursor)))
}

export function readListpackSortedSet(cursor: Cursor): SortedSetValue {
  return fromPairs(cursor, readListpack(readBlob(cursor)))
}

function readMembers(cursor: Cursor, readScore: () => number): SortedSetValue {
  const count = readLength(cursor)
  const members: ScoredMember[] = []
  for (let index = 0; index < count; index++) members.push({ member: readString(cursor), score: readScore() })
  return checkedMembers(cursor, members)
}

function fromPairs(cursor: Cursor, elements: readonly Buffer[]): SortedSetValue {
  if (elements.length % 2 !== 0) cursor.corrupt('A member of a sorted set has no score.')
  const members: ScoredMember[] = []
  for (let at = 0; at < elements.length; at += 2)
    members.push({ member: elements[at]!, score: parseScore(cursor, elements[at + 1]!) })
  return checkedMembers(cursor, members)
}

function parseScore(cursor: Cursor, text: Buffer): number {
  const score = text.toString('latin1')
  if (/^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(score)) return Number(score)
  if (score === 'inf') return Infinity
  if (score === '-inf') return -Infinity
  return cursor.corrupt(`${JSON.stringify(score.slice(0, 40))} is no score.`)
}

function checkedMembers(cursor: Cursor, members: ScoredMember[]): SortedSetValue {
  if (members.some(({ score }) => Number.isNaN(score)))
    cursor.corrupt('A score of a sorted set is not a number.')
  checkDistinct(cursor, 'A member of a sorted set', members, ({ member }) => member)
  return { type: 'zset', members }
}
