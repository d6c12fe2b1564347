import type { Stamp } from '../change/stamp.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { formatCheckpoint, parseCheckpoint } from './checkpoint.ts'
import { source as handLua } from './hand.lua.ts'
import type { LeaseRequest } from './lease.ts'

const handScript = script('hand', handLua)

/** The one change that a worker applies after others have died, and how many they were. */
export interface Hand {
  readonly stamp: Stamp
  readonly deaths: number
}

/** Notes what is in hand, as the holder of a lease; undefined when it is done. */
export async function noteHand(
  client: RedisClient,
  { keys, group, owner }: LeaseRequest,
  token: number,
  hand: Hand | undefined,
): Promise<'noted' | 'fenced'> {
  const text = hand ? `${formatCheckpoint(hand.stamp)} ${hand.deaths}` : ''
  const input = { keys: [keys.group(group)], args: [owner, token, text] }
  return (await handScript.run(client, input)) as 'noted' | 'fenced'
}

export function parseHand(text: string): Hand | undefined {
  if (text === '') return undefined
  const [stamp, deaths] = text.split(' ')
  return { stamp: parseCheckpoint(stamp), deaths: Number(deaths) }
}
