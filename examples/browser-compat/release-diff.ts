import { setImmediate as nextTurn } from 'node:timers/promises'
import { canonicalJson } from '@headwater/core'
import type { Feature } from './feature.ts'
import type { Release } from './release.ts'

/** What happened to one feature from a release to the next. */
export type FeatureChange =
  | { readonly kind: 'create' | 'update'; readonly feature: Feature }
  | { readonly kind: 'delete'; readonly path: string }

/** So many features are compared in one turn of the event loop, which has appends and leases to look after. */
const comparedAtOnce = 500

/** What makes `newer` out of `older`: at most one change of each feature. Features with equal canonical JSON are equal. */
export async function diffReleases(older: Release, newer: Release): Promise<FeatureChange[]> {
  const changes: FeatureChange[] = []
  let compared = 0
  for (const [path, feature] of newer) {
    const before = older.get(path)
    if (before === undefined) changes.push({ kind: 'create', feature })
    else if (canonicalJson(before) !== canonicalJson(feature)) changes.push({ kind: 'update', feature })
    if (++compared % comparedAtOnce === 0) await nextTurn()
  }
  for (const path of older.keys()) {
    if (!newer.has(path)) changes.push({ kind: 'delete', path })
  }
  return changes
}
