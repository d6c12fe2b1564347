import { source as publishLua } from '../feed/publish.lua.ts'
import { source as epochLua } from '../namespace/epoch.lua.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { source as markLua } from './mark.lua.ts'
import { markerType } from './marker.ts'

const markScript = script('mark', epochLua, publishLua, markLua)

/**
 * - `marked`: there is a new marker
 * - `recent`: somebody has put one there that is not as old
 * - `unchanged`: nothing was appended since the last one
 * - `empty`: nothing was ever appended
 * - `missing`: the partition has lost its header
 */
export type MarkAnswer = 'marked' | 'recent' | 'unchanged' | 'empty' | 'missing'

/**
 * Puts a marker at the end of a partition. Whoever asks, and however many do, there is at most one in `betweenMs`, and none
 * behind which nothing was appended.
 *
 * @param collections those that keep a state
 */
export async function mark(
  client: RedisClient,
  keys: PartitionKeys,
  collections: readonly string[],
  betweenMs: number,
): Promise<MarkAnswer> {
  const input = {
    keys: [keys.header, keys.log, ...collections.map((name) => keys.digest(name))],
    args: [markerType, betweenMs, ...collections],
  }
  return (await markScript.run(client, input)) as MarkAnswer
}
