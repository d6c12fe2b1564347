import { source as epochLua } from '../namespace/epoch.lua.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { source as identityLua } from './server-identity.lua.ts'

const identityScript = script('server-identity', epochLua, identityLua)

/**
 * Tells servers apart that answer for a partition one after the other. The cursor of a scan means something only to the
 * server that gave it: behind a failover or a restart it would leave keys out.
 */
export async function serverIdentity(
  connection: Connection,
  keys: PartitionKeys,
  deadlineMs: number,
): Promise<string> {
  const options = { doing: 'asking which server answers', deadlineMs }
  const input = { keys: [keys.header], args: [] }
  return String(await persist(connection, options, (client) => identityScript.run(client, input)))
}
