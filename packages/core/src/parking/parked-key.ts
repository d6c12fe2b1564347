import { escapeKey, unescapeKey } from '../change/key.ts'
import type { Stamp } from '../change/stamp.ts'
import { parseCheckpoint } from '../group/checkpoint.ts'
import { parseStored } from './parse-stored.ts'

/** Why a key is set aside, and which of its changes are: what is stored for it in a group's hash of parked keys. */
export interface ParkedKey {
  /** When the first change was parked, ms since 1970 by the clock of the Redis server. */
  readonly since: number
  /** No change before it is set aside. */
  readonly first: Stamp
  readonly last: Stamp
  readonly count: number
  /** Code and message of the error that parked it, or that it met when it was last fed back. */
  readonly code: string
  readonly reason: string
  /** The parked stream holds none of its copies before this entry. */
  readonly from: string
  /** Whether it is to be fed back to the sink. */
  readonly redrive: boolean
  /** How many workers in a row died while they fed it back. */
  readonly deaths: number
  /** How often it was fed back and rejected again. */
  readonly refused: number
}

/** The field of a key in a group's hash of parked keys. */
export function parkedField(collection: string, key: string): string {
  return `${collection}/${escapeKey(key)}`
}

/** The field of a stream entry that could not be decoded. No collection begins with this sign. */
export function entryField(id: string): string {
  return `#${id}`
}

/** What a field stands for. */
export function parseField(field: string): { collection: string; key: string } | { entry: string } {
  if (field.startsWith('#')) return { entry: field.slice(1) }
  const slash = field.indexOf('/')
  return { collection: field.slice(0, slash), key: unescapeKey(field.slice(slash + 1)) }
}

/**
 * Reads what park.lua writes.
 *
 * @throws HeadwaterError LOG_DAMAGED
 */
export function parseParkedKey(json: string): ParkedKey {
  const marker = parseStored('mark of a parked key', json) as Record<string, string | number | undefined>
  const { since, first, last, count, code, reason, from, redrive, deaths, refused } = marker
  return {
    since: Number(since),
    first: parseCheckpoint(String(first)),
    last: parseCheckpoint(String(last)),
    count: Number(count),
    code: String(code),
    reason: String(reason),
    from: from === undefined ? '-' : String(from),
    redrive: redrive !== undefined,
    deaths: Number(deaths ?? 0),
    refused: Number(refused ?? 0),
  }
}
