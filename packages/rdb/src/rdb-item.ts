import type { RdbValue } from './rdb-value.ts'

/** How the dump begins. Always the first item. */
export interface RdbHeader {
  readonly kind: 'header'
  /** Of the format: 1 to 12. */
  readonly version: number
}

/** A note of the server that wrote the dump, such as `redis-ver`, or `repl-stream-db`. */
export interface RdbAux {
  readonly kind: 'aux'
  readonly name: string
  readonly value: Buffer
}

/** The entries that follow are of this database. */
export interface RdbDatabase {
  readonly kind: 'database'
  readonly database: number
}

/** About how many keys the database has. A hint: nothing depends on it. */
export interface RdbSizes {
  readonly kind: 'sizes'
  readonly keys: number
  /** Of them with an expiry. */
  readonly expiring: number
}

/** About how many keys a slot of a Cluster has. A hint. */
export interface RdbSlot {
  readonly kind: 'slot'
  readonly slot: number
  readonly keys: number
  readonly expiring: number
}

/** One key. */
export interface RdbEntry {
  readonly kind: 'entry'
  readonly database: number
  readonly key: Buffer
  readonly value: RdbValue
  /** In ms since 1970; may be in the past. */
  readonly expiresAtMs?: bigint
  /** How long nobody had used it, in seconds; only with an LRU policy. */
  readonly idleSeconds?: bigint
  /** How often it was used, from 0 to 255 on a logarithmic scale; only with an LFU policy. */
  readonly frequency?: number
}

/** A library of functions. */
export interface RdbFunction {
  readonly kind: 'function'
  /** As `FUNCTION LOAD` takes it. */
  readonly code: Buffer
}

/** A function of a release candidate of Redis 7.0, in the form that was given up before the release. */
export interface RdbPreReleaseFunction {
  readonly kind: 'pre-release-function'
  readonly name: Buffer
  readonly engine: Buffer
  readonly description?: Buffer
  readonly code: Buffer
}

/** Data that a module keeps beside keys. Only its name is read. */
export interface RdbModuleAux {
  readonly kind: 'module-aux'
  readonly module: string
}

/** A key with a value of a module, which was passed over because `modules` is `skip`. */
export interface RdbModuleEntry {
  readonly kind: 'module-entry'
  readonly database: number
  readonly key: Buffer
  /** The nine characters by which the module calls its type. */
  readonly module: string
}

/** The end mark was reached, and the checksum is right. Always the last item. */
export interface RdbEnd {
  readonly kind: 'end'
  /** False when the server wrote none: before version 5, or with `rdbchecksum no`. */
  readonly hasChecksum: boolean
  /** The whole dump, in bytes. */
  readonly bytes: number
}

/** What a dump consists of. */
export type RdbItem =
  | RdbHeader
  | RdbAux
  | RdbDatabase
  | RdbSizes
  | RdbSlot
  | RdbEntry
  | RdbFunction
  | RdbPreReleaseFunction
  | RdbModuleAux
  | RdbModuleEntry
  | RdbEnd
