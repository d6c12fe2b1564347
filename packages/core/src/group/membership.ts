import type { NamespaceKeys } from '../namespace/keys.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import type { GroupView } from './assignment.ts'
import { source as heartbeatLua } from './heartbeat.lua.ts'

const heartbeatScript = script('heartbeat', heartbeatLua)

export interface Member {
  readonly keys: NamespaceKeys
  readonly group: string
  readonly worker: string
  /** How long a life sign lasts, in ms. */
  readonly leaseMs: number
}

/** Stands in for the owner of a partition that could not be asked: nobody, and not free either. */
const unreachable = ['(unreachable)', null, null]

/**
 * Gives a life sign (or takes it back: a drained worker has no share) and sees how the group stands; also in how many ms the next lease of another worker runs out, and by
 * partition how often somebody asked for parked keys.
 */
export async function observeGroup(
  client: RedisClient,
  { keys, group, worker, leaseMs }: Member,
  drained: boolean,
): Promise<{ view: GroupView; nextExpiryMs: number; redrives: readonly number[] }> {
  const heartbeat = heartbeatScript.run(client, {
    keys: [keys.members(group)],
    args: [drained ? 'leave' : 'join', worker, leaseMs],
  })
  const [members, [seconds, microseconds], ...leases] = await Promise.all([
    heartbeat as Promise<string[]>,
    client.time(),
    // A partition that cannot be asked is left alone, whoever has it: its master may be away.
    ...keys.partitions.map((of) =>
      client.hmget(of.group(group), 'owner', 'expires', 'redrives').catch(() => unreachable),
    ),
  ])
  const now = Number(seconds) * 1_000 + Number(microseconds) / 1_000
  let nextExpiryMs = Number.POSITIVE_INFINITY
  const owners = leases.map(([owner, expires]) => {
    if (!owner || owner === unreachable[0]) return owner ?? undefined
    const left = Number(expires) - now
    // One that lasts much longer than ours was given by a server with another clock: whoever asks for it puts that right.
    if (!(left > 0 && left <= leaseMs * 2)) return undefined
    if (owner !== worker) nextExpiryMs = Math.min(nextExpiryMs, left)
    return owner
  })
  const redrives = leases.map(([, , count]) => Number(count ?? 0))
  return { view: { me: worker, members, owners }, nextExpiryMs, redrives }
}

export async function leaveGroup(
  client: RedisClient,
  { keys, group, worker, leaseMs }: Member,
): Promise<void> {
  await heartbeatScript.run(client, { keys: [keys.members(group)], args: ['leave', worker, leaseMs] })
}
