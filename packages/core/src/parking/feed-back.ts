import type { HeadwaterError } from '../errors/headwater-error.ts'
import type { Stamp } from '../change/stamp.ts'
import { formatCheckpoint } from '../group/checkpoint.ts'
import type { LeaseRequest } from '../group/lease.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { source as feedBackLua } from './feed-back.lua.ts'
import { source as freedKeyLua } from './freed-key.lua.ts'
import { reasonOf } from './park.ts'
import type { ParkedCopy } from './parked-copy.ts'
import { source as refuseLua } from './refuse-redrive.lua.ts'

const feedBackScript = script('feed-back', freedKeyLua, feedBackLua)
const refuseScript = script('refuse-redrive', refuseLua)

/** Copies of one key that leave the parked stream, and the first that stays, as far as it is known. */
export interface Leaving {
  readonly field: string
  readonly copies: readonly ParkedCopy[]
  readonly next: ParkedCopy | undefined
}

/** Takes copies out that the sink has, as the holder of a lease; `freed` when they were the last of their key. */
export async function feedBack(
  client: RedisClient,
  { keys, group, owner }: LeaseRequest,
  token: number,
  leaving: Leaving,
): Promise<'freed' | 'left' | 'fenced'> {
  const { stamp, id } = firstLeft(leaving)
  const input = {
    keys: [keys.group(group), keys.parkedKeys(group), keys.parked(group)],
    args: [
      owner,
      token,
      leaving.field,
      formatCheckpoint(stamp),
      id,
      ...leaving.copies.map((copy) => copy.id),
    ],
  }
  return (await feedBackScript.run(client, input)) as 'freed' | 'left' | 'fenced'
}

/** Keeps a key parked that the sink still rejects, as the holder of a lease. */
export async function refuseRedrive(
  client: RedisClient,
  { keys, group, owner }: LeaseRequest,
  token: number,
  field: string,
  error: HeadwaterError,
): Promise<'refused' | 'absent' | 'fenced'> {
  const input = {
    keys: [keys.group(group), keys.parkedKeys(group)],
    args: [owner, token, field, error.code, reasonOf(error)],
  }
  return (await refuseScript.run(client, input)) as 'refused' | 'absent' | 'fenced'
}

/** What stays behind is not before this: the next copy, or the first that could have come meanwhile. */
export function firstLeft({ copies, next }: Leaving): { stamp: Stamp; id: string } {
  if (next) return { stamp: next.change.stamp, id: next.id }
  const last = copies.at(-1)
  if (!last) return { stamp: { epoch: 0, sequence: 0 }, id: '-' }
  const { epoch, sequence } = last.change.stamp
  return { stamp: { epoch, sequence: sequence + 1 }, id: last.id }
}
