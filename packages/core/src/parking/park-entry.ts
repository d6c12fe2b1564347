import { stampZero } from '../change/stamp.ts'
import type { HeadwaterError } from '../errors/headwater-error.ts'
import { formatCheckpoint } from '../group/checkpoint.ts'
import type { LeaseRequest } from '../group/lease.ts'
import { stampOfEntry } from '../log/stray.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { source as parkEntryLua } from './park-entry.lua.ts'
import { reasonOf, type ParkingBounds } from './park.ts'
import { entryField } from './parked-key.ts'

const parkEntryScript = script('park-entry', parkEntryLua)

/** Sets an entry of the log aside that cannot be decoded, as the holder of a lease. Safe to repeat. */
export async function parkEntry(
  client: RedisClient,
  { keys, group, owner }: LeaseRequest,
  token: number,
  bounds: ParkingBounds,
  id: string,
  error: HeadwaterError,
): Promise<'parked' | 'known' | 'keys' | 'fenced'> {
  const stamp = formatCheckpoint(stampOfEntry(id) ?? stampZero)
  const input = {
    keys: [keys.group(group), keys.parkedKeys(group), keys.parked(group), keys.log, keys.dropped(group)],
    args: [owner, token, bounds.keys, entryField(id), id, error.code, reasonOf(error), stamp],
  }
  return (await parkEntryScript.run(client, input)) as 'parked' | 'known' | 'keys' | 'fenced'
}
