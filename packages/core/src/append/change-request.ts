import type { Collection } from '../collection/collection.ts'

/** What `append` takes: a change that is not in the log yet. Made by `put`, `patch` and `delete` of a collection. */
export type ChangeRequest = PutRequest | PatchRequest | DeleteRequest

export interface PutRequest<T = any> {
  readonly kind: 'put'
  readonly collection: Collection<T, any>
  readonly value: unknown
}

export interface PatchRequest<T = any> {
  readonly kind: 'patch'
  readonly collection: Collection<T, any>
  readonly key: string
  readonly changes: object
}

export interface DeleteRequest {
  readonly kind: 'delete'
  readonly collection: Collection<any, any>
  readonly key: string
}
