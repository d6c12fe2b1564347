import type { OwnPostgresServer } from '@headwater/local-servers'
import { eventually } from '../support/eventually.ts'
import { Random } from '../support/random.ts'
import type { ToldEvent } from '../support/worker-process-options.ts'
import { checkHistory, type Evidence, type Verdict } from './check-history.ts'
import { deeds } from './deeds/deeds.ts'
import type { DeploymentName } from './deployment/deployment.ts'
import { measureRecovery, type Recovery } from './recovery.ts'
import { schedule, type Plan } from './schedule.ts'
import { World } from './world.ts'

/** Kinds of lives: on which servers; `forked` is on a single one that loses history. */
export const kinds = ['single', 'sentinel', 'cluster', 'forked'] as const
export type LifeKind = (typeof kinds)[number]

export interface LifeOptions {
  readonly kind: LifeKind
  readonly seed: number
  /** How many faults. */
  readonly faults: number
  /** Changes between two faults, from and to. Default 20 to 80. */
  readonly pace?: readonly [number, number]
  /** See `WorldOptions`. */
  readonly lanes?: number
  /** See `WorldOptions`. */
  readonly leaseMs?: number
  /** Only these deeds, by name. Default all that are possible. */
  readonly only?: readonly string[]
  readonly postgres: OwnPostgresServer
  /** Told of each deed before it is done, and what came of it. */
  readonly onProgress?: (what: string) => void
}

/** How a life went. */
export interface Life extends Verdict {
  readonly evidence: Evidence
  /** What was done, and how often. */
  readonly deeds: Readonly<Record<string, number>>
  readonly recoveries: readonly Recovery[]
  readonly events: readonly ToldEvent[]
  /** By group and partition: what the group's record says was lost. */
  readonly noted: ReadonlyMap<string, string | null>
}

/** Begins a world, breaks it as its seed says, mends it, lets it come to rest, and judges. */
export async function live({
  kind,
  seed,
  faults,
  pace = [20, 80],
  lanes,
  leaseMs,
  only,
  postgres,
  onProgress = () => {},
}: LifeOptions): Promise<Life> {
  const deployment: DeploymentName = kind === 'forked' ? 'single' : kind
  const plans = schedule({
    seed,
    deployment,
    count: faults,
    loses: kind === 'forked',
    pace,
    ...(only && { only }),
  })
  await using world = await World.begin({
    seed,
    deployment,
    postgres,
    ...(lanes !== undefined && { lanes }),
    ...(leaseMs !== undefined && { leaseMs }),
  })
  const half = Math.ceil(plans.length / 2)
  const recoveries = await rage(world, plans.slice(0, half), onProgress)
  if (kind === 'forked') recoveries.push(...(await restoreOlderCopy(world)))
  recoveries.push(...(await rage(world, plans.slice(half), onProgress)))
  onProgress('quieten')
  await world.quieten()
  const evidence = await world.evidence()
  const done: Record<string, number> = kind === 'forked' ? { 'restore an older copy': 1 } : {}
  for (const { deed } of plans) done[deed] = (done[deed] ?? 0) + 1
  return {
    ...checkHistory(evidence),
    evidence,
    deeds: done,
    recoveries,
    events: world.events,
    noted: await world.lossesNoted(),
  }
}

async function rage(
  world: World,
  plans: readonly Plan[],
  onProgress: (what: string) => void,
): Promise<Recovery[]> {
  const recoveries: Recovery[] = []
  for (const { deed, seed, pause } of plans) {
    onProgress(deed)
    const failover = await deeds[deed]!.run(world, new Random(seed))
    await world.mend()
    if (failover) recoveries.push({ deed: `${deed}: a new master`, ...failover })
    const recovered = await measureRecovery(world, deed)
    recoveries.push(...recovered)
    onProgress(`recovered in ${recovered.map(({ tookMs }) => Math.round(tookMs)).join(' and ')} ms`)
    await world.progress(pause)
  }
  return recoveries
}

/** The log's server is replaced by an older copy of itself, when the sinks have seen what will be lost in every partition. */
async function restoreOlderCopy(world: World): Promise<Recovery[]> {
  const copy = await world.copyLog()
  await world.progress(200)
  await eventually(
    async () => {
      if (!(await world.savedBeyond(copy.sequences))) throw new Error('A sink is not beyond the copy yet.')
    },
    { timeoutMs: 30_000 },
  )
  await world.restoreLog(copy)
  const recoveries = await measureRecovery(world, 'restore an older copy')
  await world.progress(200)
  return recoveries
}
