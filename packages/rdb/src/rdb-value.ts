// Buffers of values are views on the bytes that were read, where these are not compressed: whoever keeps a small part of
// a dump copies it.

export interface StringValue {
  readonly type: 'string'
  readonly value: Buffer
}

export interface ListValue {
  readonly type: 'list'
  readonly elements: readonly Buffer[]
}

export interface SetValue {
  readonly type: 'set'
  readonly members: readonly Buffer[]
}

export interface HashField {
  readonly field: Buffer
  readonly value: Buffer
  /** When the field expires, in ms since 1970 (Redis 7.4 and later). */
  readonly expiresAtMs?: bigint
}

export interface HashValue {
  readonly type: 'hash'
  readonly fields: readonly HashField[]
}

export interface ScoredMember {
  readonly member: Buffer
  /** Never NaN; may be infinite, or -0. */
  readonly score: number
}

export interface SortedSetValue {
  readonly type: 'zset'
  readonly members: readonly ScoredMember[]
}

export interface StreamId {
  readonly ms: bigint
  readonly sequence: bigint
}

export interface StreamEntry {
  readonly id: StreamId
  /** Fields and values, one after the other; a field may stand there twice. */
  readonly fields: readonly Buffer[]
}

export interface PendingEntry {
  /** The entry itself may be deleted. */
  readonly id: StreamId
  readonly consumer: Buffer
  /** In ms since 1970. */
  readonly deliveredAtMs: bigint
  readonly deliveries: bigint
}

export interface StreamConsumer {
  readonly name: Buffer
  /** When it last tried to read, in ms since 1970. */
  readonly seenAtMs: bigint
  /** When it last got something (Redis 7.2 and later); absent when never, or not known. */
  readonly activeAtMs?: bigint
}

export interface StreamGroup {
  readonly name: Buffer
  readonly lastDeliveredId: StreamId
  /** Entries that the group has read, where the server knows (Redis 7.0 and later). */
  readonly entriesRead?: bigint
  readonly consumers: readonly StreamConsumer[]
  /** In the order of their IDs. */
  readonly pending: readonly PendingEntry[]
}

export interface StreamValue {
  readonly type: 'stream'
  readonly entries: readonly StreamEntry[]
  readonly lastId: StreamId
  /** Redis 7.0 and later. */
  readonly maxDeletedId?: StreamId
  /** Entries that were ever added, also those deleted since (Redis 7.0 and later). */
  readonly entriesAdded?: bigint
  readonly groups: readonly StreamGroup[]
}

/** The value of a key. A list, set, hash or sorted set without content is no key: Redis drops it when it loads. */
export type RdbValue = StringValue | ListValue | SetValue | HashValue | SortedSetValue | StreamValue
