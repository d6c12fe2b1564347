import { HeadwaterError } from '../errors/headwater-error.ts'
import { logParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { checkGroupName } from './group-name.ts'
import { groupNames } from './group-status.ts'
import { source as retireLua } from './retire-group.lua.ts'

const retireScript = script('retire-group', retireLua)

export interface RetireOptions {
  /** Also while workers of the group are alive: they lose their partitions and report damage until stopped. Default false. */
  readonly force?: boolean
}

/**
 * Forgets a group for good: its progress, its leases and everything that is parked for it. It holds nothing back from
 * then on. What its sink holds stays there. Can be interrupted and repeated.
 *
 * @throws HeadwaterError GROUP_UNKNOWN, GROUP_ALIVE
 */
export async function retireGroup(
  log: Log,
  group: string,
  { force = false }: RetireOptions = {},
): Promise<void> {
  checkGroupName(group)
  const { connection, keys, namespace, deadlineMs } = logParts(log)
  const options = { doing: `retiring the group ${group}`, deadlineMs }
  if (!(await groupNames(connection, keys, deadlineMs)).includes(group)) {
    throw new HeadwaterError(
      'GROUP_UNKNOWN',
      `No group ${JSON.stringify(group)} is registered at namespace ${JSON.stringify(namespace)}.`,
    )
  }
  if (!force) {
    const [seconds] = await persist(connection, options, (client) => client.time())
    const members = await persist(connection, options, (client) =>
      client.zrangebyscore(keys.members(group), Number(seconds) * 1_000, '+inf'),
    )
    if (members.length > 0) throw alive(group, members)
  }
  // The first partition last: its registry is the one that names are listed from, so what was cut short can be repeated.
  for (const of of keys.partitions.toReversed()) {
    const input = {
      keys: [of.groups, of.group(group), of.log, of.parkedKeys(group), of.parked(group), of.dropped(group)],
      args: [group, force ? 'forced' : ''],
    }
    const answer = await persist(connection, options, (client) => retireScript.run(client, input))
    if (Array.isArray(answer)) throw alive(group, [String(answer[1])])
  }
  await persist(connection, options, (client) => client.unlink(keys.members(group)))
}

function alive(group: string, workers: readonly string[]): HeadwaterError {
  return new HeadwaterError(
    'GROUP_ALIVE',
    `Group ${group} has live workers (${workers.join(', ')}): stop them first, or force it.`,
  )
}
