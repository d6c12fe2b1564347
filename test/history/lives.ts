import type { PostgresServer } from '@headwater/local-servers'
import { eventually } from '../support/eventually.ts'
import type { ToldEvent } from '../support/worker-process-options.ts'
import { checkHistory, type Evidence, type Verdict } from './check-history.ts'
import { Nemesis, type Deeds } from './nemesis.ts'
import { World } from './world.ts'

/** How a world ended. */
export interface Life extends Verdict {
  readonly evidence: Evidence
  readonly deeds: Deeds
  readonly events: readonly ToldEvent[]
  /** By group and partition: what the group's record says was lost. */
  readonly noted: ReadonlyMap<string, string | null>
}

/** Everything dies and breaks but the log's own memory: its server is killed too, and comes back with all it had. */
export async function hardLife(seed: number, postgres: PostgresServer, deeds = 12): Promise<Life> {
  await using world = await World.begin(`hard-${seed}`, seed, postgres)
  const nemesis = new Nemesis(world)
  await nemesis.rage(deeds)
  await world.restartLog()
  await nemesis.rage(deeds)
  return await end(world, nemesis)
}

/** In the middle, the log's server is replaced by an older copy of itself. */
export async function forkedLife(seed: number, postgres: PostgresServer, deeds = 4): Promise<Life> {
  await using world = await World.begin(`forked-${seed}`, seed, postgres)
  const nemesis = new Nemesis(world)
  await nemesis.rage(deeds)
  const copy = await world.copyLog()
  await nemesis.progress(200)
  // The sinks have seen what will be lost, in every partition.
  await eventually(
    async () => {
      if (!(await world.savedBeyond(copy.sequences))) throw new Error('A sink is not beyond the copy yet.')
    },
    { timeoutMs: 30_000 },
  )
  await world.restoreLog(copy)
  await nemesis.progress(400)
  await nemesis.rage(deeds)
  return await end(world, nemesis)
}

async function end(world: World, nemesis: Nemesis): Promise<Life> {
  await world.quieten()
  const evidence = await world.evidence()
  const { deeds } = nemesis
  return {
    ...checkHistory(evidence),
    evidence,
    deeds,
    events: world.events,
    noted: await world.lossesNoted(),
  }
}
