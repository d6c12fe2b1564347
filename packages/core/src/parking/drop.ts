import { compareStamps, type Stamp } from '../change/stamp.ts'
import { formatCheckpoint, parseCheckpoint } from '../group/checkpoint.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { source as dropLua } from './drop.lua.ts'
import { source as freedKeyLua } from './freed-key.lua.ts'

const dropScript = script('drop', freedKeyLua, dropLua)

/** Entries of the parked stream that are given up, all of one field, and where what is left of it begins. */
export interface Dropped {
  readonly field: string
  readonly ids: readonly string[]
  readonly first: Stamp
  readonly last: Stamp
  readonly left: { readonly stamp: Stamp; readonly id: string }
}

/** Gives parked changes up; how many they were, and how many of their key are left. Needs no lease, and is safe to repeat. */
export async function drop(
  client: RedisClient,
  keys: PartitionKeys,
  group: string,
  { field, ids, first, last, left }: Dropped,
): Promise<{ dropped: number; left: number }> {
  const input = {
    keys: [keys.parkedKeys(group), keys.parked(group), keys.dropped(group), keys.group(group)],
    args: [
      field,
      formatCheckpoint(left.stamp),
      left.id,
      formatCheckpoint(first),
      formatCheckpoint(last),
      ...ids,
    ],
  }
  const [dropped, stay] = (await dropScript.run(client, input)) as [number, number]
  return { dropped, left: stay }
}

/** Whether a change of a key is among those that were given up, by what drop.lua keeps of the key. */
export function wasDropped(ranges: string | null | undefined, stamp: Stamp): boolean {
  return (ranges ?? '')
    .split(' ')
    .filter((range) => range !== '')
    .some((range) => {
      const [first, last] = range.split(':')
      return (
        compareStamps(parseCheckpoint(first), stamp) <= 0 && compareStamps(stamp, parseCheckpoint(last)) <= 0
      )
    })
}
