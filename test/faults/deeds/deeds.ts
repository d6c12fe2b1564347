import { clockDeeds } from './clocks.ts'
import type { Deeds } from './deed.ts'
import { diskDeeds } from './disk.ts'
import { failoverDeeds } from './failovers.ts'
import { linkDeeds } from './links.ts'
import { processDeeds } from './processes.ts'
import { reshardingDeeds } from './resharding.ts'
import { serverDeeds } from './servers.ts'
import { sinkDeeds } from './sinks.ts'

/** Every way of breaking a world, by name. */
export const deeds: Deeds = {
  ...linkDeeds,
  ...processDeeds,
  ...serverDeeds,
  ...diskDeeds,
  ...clockDeeds,
  ...sinkDeeds,
  ...failoverDeeds,
  ...reshardingDeeds,
}
