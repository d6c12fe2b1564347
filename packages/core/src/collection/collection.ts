import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { DeleteRequest, PatchRequest, PutRequest } from '../append/change-request.ts'

/**
 * What the log keeps beside itself for each key: `values` the latest value with its version, stamp and hash;
 * `versions` all but the value, which saves its memory and gives up `get` and `patch`.
 */
export type StateKept = 'values' | 'versions'

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
  /** Default `values`. Fixed when the collection is first connected. */
  readonly state?: StateKept
}

/** A named, typed set of entities. `T` is what reads give, `Input` what `put` takes. */
export interface Collection<T = unknown, Input = T> {
  readonly name: string
  readonly schema: StandardSchemaV1<Input, T>
  readonly schemaVersion: number
  readonly state: StateKept
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
  const { schema, key, partitionKey, schemaVersion = 1, state = 'values' } = options
  const collection: Collection<T, Input> = {
    name,
    schema,
    schemaVersion,
    state,
    partitionKey,
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
  const invalid = (what: string): never => {
    throw new HeadwaterError('COLLECTION_INVALID', `Collection ${JSON.stringify(name)}: ${what}`)
  }
  if (typeof name !== 'string' || !namePattern.test(name)) {
    invalid('a name is 1 to 48 of a-z, 0-9, "_" and "-", and begins with a letter.')
  }
  if (typeof options?.schema?.['~standard']?.validate !== 'function') {
    invalid('schema must be a zod schema or another Standard Schema (an object with "~standard").')
  }
  if (typeof options.key !== 'function') invalid('key must be a function from a value to its key.')
  if (options.partitionKey !== undefined && typeof options.partitionKey !== 'function') {
    invalid('partitionKey must be a function from a key to a text.')
  }
  const { schemaVersion = 1, state = 'values' } = options
  if (!Number.isInteger(schemaVersion) || schemaVersion < 1 || schemaVersion > 65_535) {
    invalid(`schemaVersion ${String(schemaVersion)} must be an integer from 1 to 65,535.`)
  }
  if (state !== 'values' && state !== 'versions')
    invalid(`state ${JSON.stringify(state)} must be "values" or "versions".`)
}

function jsonSchemaOf(schema: StandardSchemaV1): Record<string, unknown> | undefined {
  const standard = schema['~standard'] as StandardSchemaV1.Props & Partial<StandardJSONSchemaV1.Props>
  try {
    return standard.jsonSchema?.output({ target: 'draft-2020-12' })
  } catch {
    // The library can describe schemas, but not this one: for a sink that is the same as no description.
    return undefined
  }
}
