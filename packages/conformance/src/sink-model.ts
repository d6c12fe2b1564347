import { compareStamps, type Change, type Outcome, type SinkValue } from '@headwater/core'

/** What a sink must hold: a map in which the greatest stamp of a key wins. Shares nothing with any adapter. */
export class SinkModel {
  readonly rows: Map<string, SinkValue> = new Map()

  apply(changes: readonly Change[]): Outcome['kind'][] {
    return changes.map(({ key, kind, stamp, hash, value }) => {
      const held = this.rows.get(key)
      if (held && compareStamps(held.stamp, stamp) >= 0) return 'stale'
      this.rows.set(key, { key, deleted: kind === 'delete', stamp, hash, value })
      return 'applied'
    })
  }

  live(): SinkValue[] {
    return [...this.rows.values()].filter((row) => !row.deleted)
  }
}
