import { hashSlot, slotTags } from './hash-slot.ts'

/**
 * The sink's bookkeeping: every key of its own that it ever writes. They begin with a prefix that no data key may have.
 *
 * On one server (or behind Sentinel) that is `<prefix>:progress`, `<prefix>:rows` and `<prefix>:sums:<partition>`. On a Cluster a script can
 * only use keys of one slot, so rows stand in the slot of their data key: `<prefix>:rows:{tag}`, where the tag is
 * a fixed short text of that slot.
 */
export interface RedisKeys {
  /** Hash: `lineage`, `layout`; `fence`, `position` and `calls`, each followed by ` <partition> <group>`; `next`, the version after. */
  readonly progress: string
  /** Where the bookkeeping of a data key stands. Data keys with the same `rows` can be used in one script. */
  placeOf(dataKey: string): Place
  /** Hash: sums of the content hashes of a partition's live rows. Only on one server: on a Cluster they are added up on demand. */
  sumsOf?(partition: number): string
  /** Every place there can be. */
  allPlaces(): readonly Place[]
}

export interface Place {
  /** Hash: data key → record (`row-record.ts`). */
  readonly rows: string
  /** Hash: `fence <partition> <group>`. */
  readonly fences: string
}

export function serverKeys(prefix: string): RedisKeys {
  const progress = `${prefix}:progress`
  const place = { rows: `${prefix}:rows`, fences: progress }
  return {
    progress,
    placeOf: () => place,
    sumsOf: (partition) => `${prefix}:sums:${partition}`,
    allPlaces: () => [place],
  }
}

export function clusterKeys(prefix: string): RedisKeys {
  const tags = slotTags()
  const placeOf = (tag: string): Place => ({
    rows: `${prefix}:rows:{${tag}}`,
    fences: `${prefix}:fences:{${tag}}`,
  })
  return {
    progress: `${prefix}:progress`,
    placeOf: (dataKey) => placeOf(tags[hashSlot(dataKey)]!),
    allPlaces: () => tags.map(placeOf),
  }
}
