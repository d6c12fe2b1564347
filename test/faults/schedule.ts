import { Random } from '../support/random.ts'
import { deeds } from './deeds/deeds.ts'
import type { DeploymentName } from './deployment/deployment.ts'

/** What is done in a life, one after the other. */
export interface Plan {
  readonly deed: string
  /** For whatever the deed leaves to chance. */
  readonly seed: number
  /** How much has to be appended afterwards, until the next. */
  readonly pause: number
}

export interface ScheduleOptions {
  readonly seed: number
  readonly deployment: DeploymentName
  readonly count: number
  /** Whether deeds are wanted that lose what was acknowledged. */
  readonly loses: boolean
  /** Changes between two deeds, from and to. */
  readonly pace: readonly [number, number]
  /** Only these, by name. */
  readonly only?: readonly string[]
}

/** A pure function of its options: so a seed repeats what is done, though not what comes of it. */
export function schedule({ seed, deployment, count, loses, pace, only }: ScheduleOptions): Plan[] {
  const random = new Random(seed)
  const possible = Object.entries(deeds)
    .filter(([, { on }]) => !on || on.includes(deployment))
    .filter(([, deed]) => loses || !deed.loses)
    .map(([name]) => name)
    .filter((name) => !only || only.includes(name))
  if (possible.length === 0) throw new Error(`None of ${only?.join(', ')} can be done on ${deployment}.`)
  const plans: Plan[] = []
  // All of them once before any of them again, as far as the count goes.
  let bag: string[] = []
  while (plans.length < count) {
    if (bag.length === 0) bag = [...possible]
    const [deed] = bag.splice(random.below(bag.length), 1) as [string]
    plans.push({ deed, seed: random.below(1_000_000), pause: random.between(...pace) })
  }
  return plans
}
