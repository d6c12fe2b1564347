import { HeadwaterError } from '../errors/headwater-error.ts'
import type { LeaseRequest } from '../group/lease.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { source as countDeathsLua } from './count-deaths.lua.ts'
import { source as noteOfferLua } from './note-offer.lua.ts'
import { reasonOf } from './park.ts'

const noteOfferScript = script('note-offer', noteOfferLua)
const countDeathsScript = script('count-deaths', countDeathsLua)

/** Notes that parked keys are about to be offered to the sink, or that it has answered, as the holder of a lease. */
export async function noteOffer(
  client: RedisClient,
  { keys, group, owner }: LeaseRequest,
  token: number,
  what: 'offer' | 'answered',
  fields: readonly string[],
): Promise<'noted' | 'fenced'> {
  const input = { keys: [keys.group(group), keys.parkedKeys(group)], args: [owner, token, what, ...fields] }
  return (await noteOfferScript.run(client, input)) as 'noted' | 'fenced'
}

/** After the owner before has died: keys that have cost as many workers as allowed are not fed back any more. */
export async function countDeaths(
  client: RedisClient,
  { keys, group, owner }: LeaseRequest,
  token: number,
  deathsMax: number,
): Promise<'counted' | 'fenced'> {
  const error = new HeadwaterError(
    'WORKER_DIED',
    `${deathsMax} workers died one after the other while they fed this key back.`,
  )
  const input = {
    keys: [keys.group(group), keys.parkedKeys(group)],
    args: [owner, token, deathsMax, error.code, reasonOf(error)],
  }
  return (await countDeathsScript.run(client, input)) as 'counted' | 'fenced'
}
