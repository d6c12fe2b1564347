import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'

/**
 * What an acknowledged append survives.
 *
 * - `memory`: the crash of any client or worker
 * - `disk`: also the crash of the Redis process (the server must keep an append-only file; with `appendfsync everysec` up to 2 s of
 *   it may go with the power, and with the process while the disk is busy)
 * - `replicated`: also an automatic failover (stored by a majority of the declared replicas before it is acknowledged)
 * - `all-replicas`: also a manual failover to any replica; while one is down, appends are not acknowledged
 */
export type Durability = 'memory' | 'disk' | 'replicated' | 'all-replicas'

export const durabilities: readonly Durability[] = ['memory', 'disk', 'replicated', 'all-replicas']

/** How many replicas must have stored an append before it is acknowledged. */
export function replicasRequired(durability: Durability, replicas: number): number {
  switch (durability) {
    case 'replicated':
      return Math.floor(replicas / 2) + 1
    case 'all-replicas':
      return Math.max(1, replicas)
    default:
      return 0
  }
}

/**
 * Refuses to begin where the server cannot keep what the namespace declares, or an append asks for. Replicas are counted at
 * each append instead, because they come and go.
 *
 * @param who for the message
 * @throws HeadwaterError DURABILITY_UNAVAILABLE
 */
export async function checkDurability(
  connection: Connection,
  durability: Durability,
  deadlineMs: number,
  who: 'The namespace declares' | 'An append asks for' = 'The namespace declares',
): Promise<void> {
  if (durability === 'memory') return
  const options = { doing: 'checking how the server persists', deadlineMs }
  const info = await persist(connection, options, (client) => client.info('persistence'))
  if (/^aof_enabled:1/m.test(info)) return
  throw new HeadwaterError(
    'DURABILITY_UNAVAILABLE',
    `${who} durability "${durability}", but the Redis server keeps no append-only file: set \`appendonly yes\`.`,
  )
}
