import type { StandardSchemaV1 } from '@standard-schema/spec'
import { bucketOf } from '../change/batch.ts'
import { canonicalJson } from '../change/canonical-json.ts'
import type { HashLanes, Hasher } from '../change/content-hash.ts'
import { checkKey, escapeKey } from '../change/key.ts'
import type { AnyCollection, CollectionOf } from '../collection/collection.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { batchSizeMax } from './batcher.ts'
import { encodeExpected, type Expected } from './expected.ts'
import type { EventRequest } from './change-request.ts'
import type { Operation, PreparedChange } from './prepared.ts'

/** Largest payload: what must fit into one batch beside its key. */
const payloadBytesMax: number = batchSizeMax - 4_096

export interface RoutedChange extends PreparedChange {
  readonly partition: number
}

export interface Router {
  readonly hasher: Hasher
  readonly partitions: number
  readonly buckets: number
}

/**
 * Validates a value with its schema. Synchronous where the schema is, so that the common case waits for nothing.
 *
 * @throws HeadwaterError VALUE_INVALID
 */
export function validate<T>(collection: CollectionOf<T>, value: unknown): T | Promise<T> {
  let result: ReturnType<(typeof collection.schema)['~standard']['validate']>
  try {
    result = collection.schema['~standard'].validate(value)
  } catch (error) {
    throw tooDeep(collection, error)
  }
  if (!(result instanceof Promise)) return accepted(collection, result)
  return result.then(
    (late) => accepted(collection, late),
    (error: unknown) => {
      throw tooDeep(collection, error)
    },
  )
}

/** What recurses through a value runs out of stack where it is nested too deeply; anything else is the schema's own trouble. */
function tooDeep(collection: AnyCollection, error: unknown): unknown {
  if (!(error instanceof RangeError)) return error
  return new HeadwaterError(
    'VALUE_INVALID',
    `A value of ${collection.name} is nested too deeply: flatten it, or store its inner part as text.`,
    { cause: error },
  )
}

function accepted<T>(collection: CollectionOf<T>, result: StandardSchemaV1.Result<T>): T {
  if (!result.issues) return result.value
  const issues = result.issues.slice(0, 5).map(({ message, path }) => {
    const at = path?.map((part) => String(typeof part === 'object' ? part.key : part)).join('.')
    return at ? `${at}: ${message}` : message
  })
  throw new HeadwaterError(
    'VALUE_INVALID',
    `A value of ${collection.name} does not match its schema: ${issues.join('; ')}.`,
  )
}

/** @throws HeadwaterError KEY_INVALID, VALUE_INVALID, VALUE_TOO_LARGE, EXPECTED_INVALID */
export function preparePut<T>(
  router: Router,
  collection: CollectionOf<T>,
  value: T,
  expected: Expected,
): RoutedChange {
  const key = keyOf(collection, value)
  const payload = encode(collection, key, value)
  return route(router, collection, key, collection.state === 'none' ? 'e' : 'p', payload, expected)
}

/** @throws HeadwaterError KEY_INVALID, EVENT_INVALID, VALUE_TOO_LARGE */
export function prepareEvent(
  router: Router,
  { collection, key, event, folded }: EventRequest,
  expected: Expected,
): RoutedChange {
  checkKey(collection.name, key)
  const payload = encode(collection, key, event)
  if (folded !== undefined) checkSize(collection, key, folded)
  return route(router, collection, key, 'e', payload, expected, folded)
}

/** @throws HeadwaterError VALUE_INVALID, VALUE_TOO_LARGE */
function encode(collection: AnyCollection, key: string, value: unknown): string {
  try {
    const payload = canonicalJson(value)
    checkSize(collection, key, payload)
    return payload
  } catch (error) {
    if (!isHeadwaterError(error, 'VALUE_INVALID')) throw tooDeep(collection, error)
    throw new HeadwaterError(
      'VALUE_INVALID',
      `The value of key ${JSON.stringify(key.slice(0, 100))} of ${collection.name}: ${error.message}`,
      { cause: error },
    )
  }
}

function checkSize(collection: AnyCollection, key: string, payload: string): void {
  if (payload.length <= payloadBytesMax / 3 || Buffer.byteLength(payload) <= payloadBytesMax) return
  throw new HeadwaterError(
    'VALUE_TOO_LARGE',
    `The value of key ${JSON.stringify(key.slice(0, 100))} of ${collection.name} has ${Buffer.byteLength(payload)} bytes of JSON; the limit is ${payloadBytesMax}.`,
  )
}

/** @throws HeadwaterError KEY_INVALID, EXPECTED_INVALID */
export function prepareDelete(
  router: Router,
  collection: AnyCollection,
  key: string,
  expected: Expected,
): RoutedChange {
  checkKey(collection.name, key)
  if (collection.state === 'none') {
    throw new HeadwaterError(
      'STATE_REQUIRED',
      `${collection.name} is defined with state "none": what happened stays, and there is nothing to delete.`,
    )
  }
  return route(router, collection, key, 'd', '', expected)
}

/** @throws HeadwaterError KEY_INVALID */
function keyOf<T>(collection: CollectionOf<T>, value: T): string {
  let key: unknown
  try {
    key = collection.keyOf(value)
  } catch (error) {
    throw new HeadwaterError(
      'KEY_INVALID',
      `The key function of ${collection.name} failed: ${String(error)}.`,
      { cause: error },
    )
  }
  checkKey(collection.name, key)
  return key
}

/** Where a key lives. @throws HeadwaterError KEY_INVALID */
export function locate(
  { hasher, partitions, buckets }: Router,
  collection: AnyCollection,
  key: string,
): { partition: number; bucket: number } {
  const keyHash = hasher.key(key)
  const bucket = bucketOf(keyHash, buckets)
  if (!collection.partitionKey) return { partition: keyHash % partitions, bucket }
  const partitionKey: unknown = collection.partitionKey(key)
  if (typeof partitionKey !== 'string') {
    throw new HeadwaterError(
      'KEY_INVALID',
      `partitionKey of ${collection.name} gave ${String(partitionKey)} for key ${JSON.stringify(key)}, not text.`,
    )
  }
  return { partition: hasher.key(partitionKey) % partitions, bucket }
}

function route(
  router: Router,
  collection: AnyCollection,
  key: string,
  operation: Operation,
  payload: string,
  expected: Expected,
  folded?: string,
): RoutedChange {
  const { partition, bucket } = locate(router, collection, key)
  const expectedCode = encodeExpected(expected)
  if (expectedCode !== undefined && collection.state === 'none') {
    throw new HeadwaterError(
      'STATE_REQUIRED',
      `${collection.name} is defined with state "none", so nothing can be expected of its keys.`,
    )
  }
  return {
    collection,
    key,
    escapedKey: escapeKey(key),
    operation,
    payload,
    ...(folded !== undefined && { folded }),
    hash: hashOfState(router, collection, key, operation, operation === 'e' ? folded : payload),
    bucket,
    partition,
    expected,
    expectedCode,
  }
}

/** Of what the state keeps: of a decider that is its folded state, of a pure event log nothing. */
function hashOfState(
  { hasher }: Router,
  { name, schemaVersion }: AnyCollection,
  key: string,
  operation: Operation,
  kept: string | undefined,
): HashLanes {
  if (operation === 'd' || kept === undefined) return noHash
  return hasher.lanes(name, schemaVersion, key, kept)
}

const noHash: HashLanes = { high: 0, low: 0 }
