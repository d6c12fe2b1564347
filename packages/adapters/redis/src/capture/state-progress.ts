import type { CapturedCollection } from './captured-collection.ts'
import type { ReplicationPosition } from './replication-link.ts'

/** How far a capture has brought a source into a log: what its origin keeps there. */
export interface StateProgress extends ReplicationPosition {
  /** `copying`: not everything was compared yet. */
  readonly phase: 'copying' | 'following'
  /** That is selected in the source's stream. */
  readonly database: number
  /** What is captured: with another mapping everything has to be compared again. */
  readonly scope: string
  /** Values that could not enter, to be tried again. */
  readonly rejected: readonly { readonly collection: string; readonly key: string }[]
}

/** Undefined where nothing was saved. */
export function parseProgress(text: string | undefined): StateProgress | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as StateProgress)
}

export function scopeOf(collections: readonly CapturedCollection[]): string {
  return collections
    .map(({ collection, keys, type, database }) => {
      return `${collection.name}@${collection.schemaVersion} ${database} ${type} ${keys}`
    })
    .toSorted()
    .join('\n')
}
