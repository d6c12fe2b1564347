import type { Change } from '../change/change.ts'
import { canonicalJson } from '../change/canonical-json.ts'
import type { HeadwaterError } from '../errors/headwater-error.ts'
import type { LeaseRequest } from '../group/lease.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { parkedField } from './parked-key.ts'
import { source as parkLua } from './park.lua.ts'

const parkScript = script('park', parkLua)

/** Sets changes of one key aside with the reason, as the holder of a lease. Safe to repeat. */
export async function park(
  client: RedisClient,
  { keys, group, owner }: LeaseRequest,
  token: number,
  changes: readonly Change[],
  error: HeadwaterError,
): Promise<'parked' | 'fenced'> {
  const args: (string | number)[] = [owner, token]
  for (const change of changes) {
    const { stamp, collection, key } = change
    args.push(
      parkedField(collection, key),
      stamp.epoch,
      stamp.sequence,
      error.code,
      error.message.slice(0, 1_000),
      copyOf(change),
    )
  }
  const input = { keys: [keys.group(group), keys.parkedKeys(group), keys.parked(group)], args }
  return (await parkScript.run(client, input)) as 'parked' | 'fenced'
}

/** Everything that feeding it back needs: the log may be trimmed by then. */
function copyOf({
  collection,
  key,
  kind,
  version,
  stamp,
  schemaVersion,
  time,
  payload,
  metadata,
}: Change): string {
  return canonicalJson({
    collection,
    key,
    kind,
    version,
    stamp: { ...stamp },
    schemaVersion,
    time,
    payload,
    metadata: { ...metadata },
  })
}
