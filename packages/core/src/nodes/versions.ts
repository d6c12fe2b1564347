import { compareStamps, type Stamp } from '../change/stamp.ts'
import type { HybridTime } from './hybrid-clock.ts'

/** Up to which stamp each writing site has been seen. */
export type Context = Readonly<Record<string, Stamp>>

/** One value of a key as one site has written it. Site and stamp name it for ever. */
export interface SiteVersion<T> {
  /** The origin: a site with a log of its own. */
  readonly site: string
  readonly stamp: Stamp
  readonly time: HybridTime
  /** Undefined for a delete, which is a version like any other. */
  readonly value: T | undefined
}

/**
 * What a node holds of a key: the values of which none was written with knowledge of another, and all that was seen. What
 * was seen and is not among the versions was overwritten; so a value that comes back late is known as old.
 */
export interface Versions<T> {
  readonly versions: readonly SiteVersion<T>[]
  readonly seen: Context
}

export const noVersions: Versions<never> = Object.freeze({ versions: [], seen: {} })

/** A site writes a value in the knowledge of everything that it holds: it takes the place of all of that. */
export function writeVersion<T>(held: Versions<T>, version: SiteVersion<T>): Versions<T> {
  return { versions: [version], seen: joinContexts(held.seen, { [version.site]: version.stamp }) }
}

/**
 * Brings two nodes together: keeps what both hold, and what one holds and the other has not seen. In whatever order,
 * grouping and number nodes are merged, the result is the same; a rule that picks a winner of each pair is not like that.
 */
export function mergeVersions<T>(a: Versions<T>, b: Versions<T>): Versions<T> {
  const inB = new Set(b.versions.map(nameOf))
  const inA = new Set(a.versions.map(nameOf))
  const versions = [
    ...a.versions.filter((version) => inB.has(nameOf(version)) || !covers(b.seen, version)),
    ...b.versions.filter((version) => !inA.has(nameOf(version)) && !covers(a.seen, version)),
  ]
  return { versions: versions.toSorted(bySiteAndStamp), seen: joinContexts(a.seen, b.seen) }
}

/** Whether a version was seen, and so is among those held or was overwritten. */
function covers(seen: Context, { site, stamp }: Pick<SiteVersion<unknown>, 'site' | 'stamp'>): boolean {
  const last = Object.hasOwn(seen, site) ? seen[site] : undefined
  return last !== undefined && compareStamps(last, stamp) >= 0
}

/** Up to where at least one of two has seen each site. */
export function joinContexts(a: Context, b: Context): Context {
  const joined = new Map(Object.entries(a))
  for (const [site, stamp] of Object.entries(b)) {
    const held = joined.get(site)
    if (!held || compareStamps(stamp, held) > 0) joined.set(site, stamp)
  }
  return Object.fromEntries([...joined].toSorted(([one], [other]) => (one < other ? -1 : 1)))
}

function nameOf({ site, stamp }: SiteVersion<unknown>): string {
  return `${stamp.epoch}-${stamp.sequence} ${site}`
}

function bySiteAndStamp(a: SiteVersion<unknown>, b: SiteVersion<unknown>): number {
  if (a.site !== b.site) return a.site < b.site ? -1 : 1
  return compareStamps(a.stamp, b.stamp)
}
