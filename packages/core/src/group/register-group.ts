import type { GroupStart } from '../copy/group-start.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { source as epochLua } from '../namespace/epoch.lua.ts'
import type { NamespaceKeys } from '../namespace/keys.ts'
import { missingHeader } from '../namespace/metadata.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { source as registerLua } from './register-group.lua.ts'

const registerScript = script('register-group', epochLua, registerLua)

/**
 * Makes a group known to every partition. Does nothing where it is known.
 *
 * @throws HeadwaterError HISTORY_TRIMMED where it is to begin at a beginning that retention has removed
 */
export async function registerGroup(
  connection: Connection,
  namespace: string,
  keys: NamespaceKeys,
  group: string,
  deadlineMs: number,
  start: GroupStart = 'beginning',
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
      args: [group, start],
    }
    const answer = await persist(connection, options, (client) => registerScript.run(client, input))
    if (answer === 'missing') throw missingHeader(namespace, partition)
    if (answer === 'trimmed') {
      throw new HeadwaterError(
        'HISTORY_TRIMMED',
        `Group ${group} cannot start at the beginning: retention has removed it from partition ${partition}. Let it start from the state, or now.`,
      )
    }
  }
}
