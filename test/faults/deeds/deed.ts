import type { Random } from '../../support/random.ts'
import type { DeploymentName } from '../deployment/deployment.ts'
import type { World } from '../world.ts'

/** One way of breaking a world. */
export interface Deed {
  /** Where it can be done; default everywhere. */
  readonly on?: readonly DeploymentName[]
  /** Whether it loses what was acknowledged: then it is for worlds that are meant to lose. Default false. */
  readonly loses?: true
  /**
   * Breaks something, for as long as it says. What the world mends by itself after each deed (links, dead servers) may be
   * left broken. Returns how long a failover took, where it made one.
   */
  readonly run: (world: World, random: Random) => Promise<void> | Promise<Failover>
}

/** How long a part of the log was without a master, and how long it may be. */
export interface Failover {
  readonly tookMs: number
  readonly boundMs: number
}

export type Deeds = Readonly<Record<string, Deed>>

/** Holds a fault for a random time: how long it lasts is part of the fault, and nothing tells when it has done its worst. */
export function hold(random: Random, fromMs: number, toMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, random.between(fromMs, toMs)))
}
