import type { Change } from '../change/change.ts'
import type { HeadwaterError } from '../errors/headwater-error.ts'
import type { LeaseRequest } from '../group/lease.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { source as freedKeyLua } from './freed-key.lua.ts'
import { source as parkLua } from './park.lua.ts'
import { encodeCopy } from './parked-copy.ts'
import { parkedField } from './parked-key.ts'

const parkScript = script('park', freedKeyLua, parkLua)

/** A lease is held by one process, so numbers that rise in it rise under each lease. */
let attempts = 0

/** How much one partition of a group may have set aside before it stops. */
export interface ParkingBounds {
  readonly keys: number
  /** Changes of one key. */
  readonly changesOfKey: number
}

export interface ParkRequest {
  /** Of one key, in order. */
  readonly changes: readonly Change[]
  readonly error: HeadwaterError
  /** Only behind changes of the key that are set aside already. */
  readonly behind: boolean
  readonly bounds: ParkingBounds
}

export type ParkAnswer =
  /** So many of the changes, from the first, are set aside now; `added` of them were not before. */
  | {
      readonly kind: 'parked'
      readonly aside: number
      readonly added: number
      readonly full?: 'keys' | 'queue'
    }
  /** There is nothing to go behind: the key was fed back or given up meanwhile. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'fenced' }

/** Sets changes of one key aside with the reason, as the holder of a lease. Safe to repeat. */
export async function park(
  client: RedisClient,
  lease: LeaseRequest,
  token: number,
  request: ParkRequest,
): Promise<ParkAnswer> {
  const { keys, group, owner } = lease
  const { changes, error, behind, bounds } = request
  const { collection, key } = changes[0]!
  const args: (string | number)[] = [
    owner,
    token,
    behind ? 'divert' : 'park',
    bounds.keys,
    bounds.changesOfKey,
    parkedField(collection, key),
    error.code,
    reasonOf(error),
    ++attempts,
  ]
  for (const change of changes) args.push(change.stamp.epoch, change.stamp.sequence, encodeCopy(change))
  const input = { keys: [keys.group(group), keys.parkedKeys(group), keys.parked(group), keys.log], args }
  const [word, aside, added] = (await parkScript.run(client, input)) as [string, number, number]
  if (word === 'fenced' || word === 'absent') return { kind: word }
  // Another key was freed while this was on its way.
  if (word === 'late') return await park(client, lease, token, request)
  return { kind: 'parked', aside, added, ...(word !== 'parked' && { full: word as 'keys' | 'queue' }) }
}

/** What is kept of an error beside the changes that it set aside. */
export function reasonOf({ code, message }: HeadwaterError): string {
  return message.replace(` [${code}]`, '').slice(0, 1_000)
}
