import { canonicalJson } from '../change/canonical-json.ts'
import { compareStamps } from '../change/stamp.ts'
import { compareHybridTimes } from './hybrid-clock.ts'
import type { SiteVersion, Versions } from './versions.ts'

export interface ElectionRules<T> {
  /** By site; 0 where a site is not named. */
  readonly weights: Readonly<Record<string, number>>
  /** Joins values that were written side by side. Must be commutative, associative and idempotent. Default: one wins. */
  readonly merge?: (a: T, b: T) => T
}

/**
 * The value of a key, as a pure view of what is held: the same on every node that holds the same, whoever asks. The
 * declared merge of all live values; else that of the origin of the greatest weight, then the latest, then by site.
 *
 * @returns undefined where the key is deleted, or was never written
 */
export function winnerOf<T>({ versions }: Versions<T>, { weights, merge }: ElectionRules<T>): T | undefined {
  const ranked = versions.toSorted((a, b) => compareVersions(weights, b, a))
  if (!merge) return ranked[0]?.value
  let merged: T | undefined
  for (const { value } of ranked) {
    if (value !== undefined) merged = merged === undefined ? value : merge(merged, value)
  }
  return merged
}

function compareVersions(
  weights: Readonly<Record<string, number>>,
  a: SiteVersion<unknown>,
  b: SiteVersion<unknown>,
): number {
  const weightOf = (site: string): number => (Object.hasOwn(weights, site) ? weights[site]! : 0)
  return (
    weightOf(a.site) - weightOf(b.site) ||
    compareHybridTimes(a.time, b.time) ||
    compareTexts(a.site, b.site) ||
    compareStamps(a.stamp, b.stamp)
  )
}

/** A counter: for each site what it has added, and what it has taken away; both only grow. */
export type CounterValue = Readonly<Record<string, { readonly up: number; readonly down: number }>>

/** The declared merge of counters. */
export function mergeCounters(a: CounterValue, b: CounterValue): CounterValue {
  return mergeProperties(a, b, (one, other) => ({
    up: Math.max(one.up, other.up),
    down: Math.max(one.down, other.down),
  }))
}

/** A set: for each element the tags under which it was added, and those of them under which it was removed, in order. */
export type SetValue = Readonly<
  Record<string, { readonly added: readonly string[]; readonly removed: readonly string[] }>
>

/** The declared merge of sets. An element is in while it has a tag that was not removed: who adds, wins. */
export function mergeSets(a: SetValue, b: SetValue): SetValue {
  return mergeProperties(a, b, (one, other) => ({
    added: union(one.added, other.added),
    removed: union(one.removed, other.removed),
  }))
}

/** A map of which each property has its own last write. */
export type LastWritesValue = Readonly<Record<string, Pick<SiteVersion<unknown>, 'time' | 'site' | 'value'>>>

/** The declared merge of maps: the later write of each property; of two at one time that of the greater site. */
export function mergeLastWrites(a: LastWritesValue, b: LastWritesValue): LastWritesValue {
  return mergeProperties(a, b, (one, other) => {
    const order =
      compareHybridTimes(one.time, other.time) ||
      compareTexts(one.site, other.site) ||
      compareTexts(textOf(one.value), textOf(other.value))
    return order >= 0 ? one : other
  })
}

function mergeProperties<V>(
  a: Readonly<Record<string, V>>,
  b: Readonly<Record<string, V>>,
  both: (one: V, other: V) => V,
): Readonly<Record<string, V>> {
  const merged = new Map(Object.entries(a))
  for (const [name, value] of Object.entries(b)) {
    const held = merged.get(name)
    merged.set(name, held === undefined ? value : both(held, value))
  }
  return Object.fromEntries([...merged].toSorted(([one], [other]) => compareTexts(one, other)))
}

function union(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])].toSorted()
}

/** A write that removed the property has no value. */
function textOf(value: unknown): string {
  return value === undefined ? '' : canonicalJson(value)
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
