import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import type { DeleteRequest, PatchRequest, PutRequest } from '../append/change-request.ts'
import { reservedPrefix } from '../proof/marker.ts'
import type { Decides } from './decider.ts'
import type { Upcasters } from './upcast.ts'

/**
 * What the log keeps beside itself for each key: `values` the latest value with its version, stamp and hash;
 * `versions` all but the value, which saves its memory and gives up `get` and `patch`; `none` nothing at all: a pure event
 * log, in which every put is an event of its own, never coalesced, and a version is only a number that rises. It gives up
 * expected versions, deletes and verification too.
 */
export type StateKept = 'values' | 'versions' | 'none'

export interface CollectionOptions<Schema extends StandardSchemaV1> {
  /** zod, or any other Standard Schema. What it outputs must be JSON: dates as text, no bigint. */
  readonly schema: Schema
  /** The key of a value: 1 to 1,024 bytes of text. */
  readonly key: (value: StandardSchemaV1.InferOutput<Schema>) => string
  /**
   * What decides the partition; default: the key itself. A function of the key alone, so that a key can never
   * move. Collections whose functions give the same text put these keys into one partition.
   */
  readonly partitionKey?: (key: string) => string
  /** Stored with each change. Raise it with a change of the schema that old values do not fit. Default 1. */
  readonly schemaVersion?: number
  /** How values that were stored under older schema versions are read. Hashes and digests stay those of what is stored. */
  readonly upcast?: Upcasters
  /** Default `values`. Fixed when the collection is first connected. */
  readonly state?: StateKept
}

/** A named, typed set of entities. `T` is what reads give, `Input` what `put` takes. */
export interface Collection<T = unknown, Input = T> {
  readonly name: string
  readonly schema: StandardSchemaV1<Input, T>
  readonly schemaVersion: number
  readonly state: StateKept
  readonly upcast: Upcasters | undefined
  /** What makes it a decider; undefined for collections of values. */
  readonly decides: Decides | undefined
  keyOf(value: T): string
  /** Undefined where the key itself decides. */
  readonly partitionKey: ((key: string) => string) | undefined
  /** The schema of stored values as JSON Schema 2020-12, or undefined where the schema library gives none. */
  jsonSchema(): Record<string, unknown> | undefined
  put(value: Input): PutRequest
  /** Shallow merge into the latest value. */
  patch(key: string, changes: Partial<Input>): PatchRequest
  delete(key: string): DeleteRequest
}

/** A collection that is read as `T`, whatever it takes. */
// oxlint-disable-next-line typescript/no-explicit-any -- `Input` is taken and never given: only `any` fits every one
export type CollectionOf<T> = Collection<T, any>

/** A collection of whatever type: what a log holds of them. */
// oxlint-disable-next-line typescript/no-explicit-any -- `T` is taken and given: only `any` fits every one
export type AnyCollection = Collection<any, any>

const namePattern = /^[a-z][a-z0-9_-]{0,47}$/

/**
 * Defines a collection. The same definition serves producers, workers and sinks.
 *
 * @throws HeadwaterError COLLECTION_INVALID
 */
export function defineCollection<Schema extends StandardSchemaV1>(
  name: string,
  options: CollectionOptions<Schema>,
): Collection<StandardSchemaV1.InferOutput<Schema>, StandardSchemaV1.InferInput<Schema>> {
  type T = StandardSchemaV1.InferOutput<Schema>
  type Input = StandardSchemaV1.InferInput<Schema>
  checkDefinition(name, options)
  const { schema, key, partitionKey, schemaVersion = 1, upcast, state = 'values' } = options
  const collection: Collection<T, Input> = {
    name,
    schema,
    schemaVersion,
    state,
    partitionKey,
    upcast,
    decides: undefined,
    keyOf: key,
    jsonSchema: () => jsonSchemaOf(schema),
    put: (value) => ({ kind: 'put', collection, value }),
    patch: (key, changes) => ({ kind: 'patch', collection, key, changes }),
    delete: (key) => ({ kind: 'delete', collection, key }),
  }
  return Object.freeze(collection)
}

function checkDefinition<Schema extends StandardSchemaV1>(
  name: string,
  options: CollectionOptions<Schema>,
): void {
  checkShared(name, options)
  if (typeof options?.schema?.['~standard']?.validate !== 'function') {
    invalidCollection(
      name,
      'schema must be a zod schema or another Standard Schema (an object with "~standard").',
    )
  }
  if (typeof options.key !== 'function') {
    invalidCollection(name, 'key must be a function from a value to its key.')
  }
  const { state = 'values' } = options
  if (state !== 'values' && state !== 'versions' && state !== 'none') {
    invalidCollection(name, `state ${quoted(state)} must be "values", "versions" or "none".`)
  }
}

type SharedOptions = Pick<CollectionOptions<StandardSchemaV1>, 'partitionKey' | 'schemaVersion' | 'upcast'>

/** What collections and deciders have in common. @throws HeadwaterError COLLECTION_INVALID */
export function checkShared(name: string, options: SharedOptions | undefined): void {
  const { partitionKey, schemaVersion = 1, upcast } = options ?? {}
  if (typeof name !== 'string' || !namePattern.test(name)) {
    invalidCollection(name, 'a name is 1 to 48 of a-z, 0-9, "_" and "-", and begins with a letter.')
  }
  if (name.startsWith(reservedPrefix)) {
    invalidCollection(
      name,
      `names that begin with "${reservedPrefix}" are kept for what the log itself writes.`,
    )
  }
  if (partitionKey !== undefined && typeof partitionKey !== 'function') {
    invalidCollection(name, 'partitionKey must be a function from a key to a text.')
  }
  if (!Number.isInteger(schemaVersion) || schemaVersion < 1 || schemaVersion > 65_535) {
    invalidCollection(name, `schemaVersion ${String(schemaVersion)} must be an integer from 1 to 65,535.`)
  }
  checkUpcasters(name, 'upcast', upcast, schemaVersion)
}

/** @throws HeadwaterError COLLECTION_INVALID */
export function checkUpcasters(
  name: string,
  option: string,
  upcasters: Upcasters | undefined,
  schemaVersion: number,
): void {
  for (const [from, step] of Object.entries(upcasters ?? {})) {
    if (typeof step !== 'function') invalidCollection(name, `${option}[${from}] must be a function.`)
    if (!/^[1-9]\d*$/.test(from) || Number(from) >= schemaVersion) {
      invalidCollection(
        name,
        `${option}[${from}] makes schema version ${Number(from) + 1} out of ${from}, but schemaVersion is ${schemaVersion}.`,
      )
    }
  }
}

/** @throws HeadwaterError COLLECTION_INVALID */
export function invalidCollection(name: string, what: string): never {
  throw new HeadwaterError('COLLECTION_INVALID', `Collection ${quoted(name)}: ${what}`)
}

export function jsonSchemaOf(schema: StandardSchemaV1): Record<string, unknown> | undefined {
  const standard = schema['~standard'] as StandardSchemaV1.Props & Partial<StandardJSONSchemaV1.Props>
  try {
    return standard.jsonSchema?.output({ target: 'draft-2020-12' })
  } catch {
    // The library can describe schemas, but not this one: for a sink that is the same as no description.
    return undefined
  }
}
