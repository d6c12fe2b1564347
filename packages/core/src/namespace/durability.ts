/**
 * What an acknowledged append survives.
 *
 * - `memory`: the crash of any client or worker
 * - `disk`: also the crash of the Redis process (the server must keep an append-only file; up to 2 s of it may go with the power)
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
