import type { Change } from '../change/change.ts'

/** What a feed gives: a change of the log, or a row of the snapshot as the put that made it. Shared, so not to be altered. */
export interface FeedChange<T = unknown> extends Pick<
  Change<T>,
  'collection' | 'key' | 'kind' | 'partition' | 'stamp' | 'position' | 'version' | 'payload' | 'value'
> {
  /** True for a row of the snapshot. */
  readonly snapshot?: true
  /** Under which the value was stored; a row of a snapshot does not know. */
  readonly schemaVersion?: number
  /** When Redis stored the change, ms since 1970; a row of a snapshot does not know. */
  readonly time?: number
  /** What the append was given as metadata; a row of a snapshot does not know. */
  readonly metadata?: Readonly<Record<string, string>>
}
