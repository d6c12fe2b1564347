import { source as epochLua } from '../namespace/epoch.lua.ts'
import type { NamespaceKeys } from '../namespace/keys.ts'
import { missingHeader } from '../namespace/metadata.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { source as registerLua } from './register-group.lua.ts'

const registerScript = script('register-group', epochLua, registerLua)

/** Makes a group known to every partition, at the beginning of the log. Does nothing where it is known. */
export async function registerGroup(
  connection: Connection,
  namespace: string,
  keys: NamespaceKeys,
  group: string,
  deadlineMs: number,
): Promise<void> {
  const options = { doing: `registering the group ${group}`, deadlineMs }
  for (const [partition, of] of keys.partitions.entries()) {
    const input = {
      keys: [
        of.header,
        of.groups,
        of.group(group),
        of.log,
        of.parkedKeys(group),
        of.parked(group),
        of.dropped(group),
      ],
      args: [group],
    }
    const answer = await persist(connection, options, (client) => registerScript.run(client, input))
    if (answer === 'missing') throw missingHeader(namespace, partition)
  }
}
