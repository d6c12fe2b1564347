import { canonicalJson } from '@headwater/core'
import type { Feature } from './feature.ts'
import type { Release } from './release.ts'

/** What happened to one feature from a release to the next. */
export type FeatureChange =
  | { readonly kind: 'create' | 'update'; readonly feature: Feature }
  | { readonly kind: 'delete'; readonly path: string }

/** What makes `newer` out of `older`: at most one change of each feature. Features with equal canonical JSON are equal. */
export function diffReleases(older: Release, newer: Release): FeatureChange[] {
  const changes: FeatureChange[] = []
  for (const [path, feature] of newer) {
    const before = older.get(path)
    if (before === undefined) changes.push({ kind: 'create', feature })
    else if (canonicalJson(before) !== canonicalJson(feature)) changes.push({ kind: 'update', feature })
  }
  for (const path of older.keys()) {
    if (!newer.has(path)) changes.push({ kind: 'delete', path })
  }
  return changes
}
