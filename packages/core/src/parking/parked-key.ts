import { escapeKey } from '../change/key.ts'
import { parseCheckpoint } from '../group/checkpoint.ts'
import type { Stamp } from '../change/stamp.ts'

/** Why a key is set aside, and which of its changes are. */
export interface ParkedKey {
  /** When the first change was parked, ms since 1970 by the clock of the Redis server. */
  readonly since: number
  readonly first: Stamp
  readonly last: Stamp
  readonly count: number
  /** Code and message of the error that parked it. */
  readonly code: string
  readonly reason: string
}

/** The field of a key in a group's hash of parked keys. */
export function parkedField(collection: string, key: string): string {
  return `${collection}/${escapeKey(key)}`
}

/** Reads what park.lua writes. */
export function parseParkedKey(json: string): ParkedKey {
  const { since, first, last, count, code, reason } = JSON.parse(json) as Record<string, string | number>
  return {
    since: Number(since),
    first: parseCheckpoint(String(first)),
    last: parseCheckpoint(String(last)),
    count: Number(count),
    code: String(code),
    reason: String(reason),
  }
}
