import { eventually } from '../support/eventually.ts'
import { groups, type World } from './world.ts'

/** How long something took to work again, and how long it may take. */
export interface Recovery {
  readonly deed: string
  readonly tookMs: number
  readonly boundMs: number
}

/** A writer has a connection again 2 seconds after the end of a fault, at the latest. */
const appendsMs = 2_000
/**
 * By then a worker is connected too, or its partition is taken over: within a lease, a poll and a second. A partition that has
 * failed again and again is begun anew after 5 seconds at most.
 */
const sinksMs = ({ leaseMs }: World): number => appendsMs + leaseMs + 1_100 + 5_000

/** How long it takes from now on until every partition acknowledges an append that began later than now, and both sinks have it. */
export async function measureRecovery(world: World, deed: string): Promise<Recovery[]> {
  const mendedAt = performance.now()
  const positions = await eventually(
    () =>
      Array.from({ length: world.log.partitions }, (_, partition) => {
        const latest = world.acknowledged.get(partition)
        if (!latest || latest.begunAt < mendedAt)
          throw new Error(`After "${deed}", partition ${partition} acknowledges nothing.`)
        return latest.position
      }),
    { timeoutMs: 60_000, everyMs: 5 },
  )
  const appends = { deed: `${deed}: appends`, tookMs: performance.now() - mendedAt, boundMs: appendsMs }
  await Promise.all(
    groups.flatMap((group) =>
      positions.map((position) =>
        eventually(() => world.log.whenApplied(position, { group, timeoutMs: 60_000 }), { timeoutMs: 1 }),
      ),
    ),
  )
  const sinks = { deed: `${deed}: sinks`, tookMs: performance.now() - mendedAt, boundMs: sinksMs(world) }
  return [appends, sinks]
}
