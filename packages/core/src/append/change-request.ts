import type { AnyCollection } from '../collection/collection.ts'

/** What `append` takes: a change that is not in the log yet. Made by `put`, `patch` and `delete` of a collection. */
export type ChangeRequest = PutRequest | PatchRequest | DeleteRequest

export interface PutRequest {
  readonly kind: 'put'
  readonly collection: AnyCollection
  readonly value: unknown
}

export interface PatchRequest {
  readonly kind: 'patch'
  readonly collection: AnyCollection
  readonly key: string
  readonly changes: object
}

/** An event that was decided. Not public: without the state that follows from it, it must not enter. */
export interface EventRequest {
  readonly kind: 'event'
  readonly collection: AnyCollection
  readonly key: string
  readonly event: { readonly type: string; readonly data: unknown }
  /** The state after it, as canonical JSON; only of the last event of a list. */
  readonly folded?: string
}

export interface DeleteRequest {
  readonly kind: 'delete'
  readonly collection: AnyCollection
  readonly key: string
}
