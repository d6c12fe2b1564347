import type { StandardSchemaV1 } from '@standard-schema/spec'
import { bucketOf } from '../change/batch.ts'
import { canonicalJson } from '../change/canonical-json.ts'
import { packHash, type Hasher } from '../change/content-hash.ts'
import { checkKey, escapeKey } from '../change/key.ts'
import type { AnyCollection, CollectionOf } from '../collection/collection.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { batchSizeMax } from './batcher.ts'
import { encodeExpected, type Expected } from './expected.ts'
import type { PreparedChange } from './prepared.ts'

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
  const result = collection.schema['~standard'].validate(value)
  return result instanceof Promise
    ? result.then((late) => accepted(collection, late))
    : accepted(collection, result)
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
  let payload
  try {
    payload = canonicalJson(value)
  } catch (error) {
    if (!isHeadwaterError(error)) throw error
    throw new HeadwaterError(
      'VALUE_INVALID',
      `The value of key ${JSON.stringify(key.slice(0, 100))} of ${collection.name}: ${error.message}`,
      { cause: error },
    )
  }
  if (payload.length > payloadBytesMax / 3 && Buffer.byteLength(payload) > payloadBytesMax) {
    throw new HeadwaterError(
      'VALUE_TOO_LARGE',
      `The value of key ${JSON.stringify(key.slice(0, 100))} of ${collection.name} has ${Buffer.byteLength(payload)} bytes of JSON; the limit is ${payloadBytesMax}.`,
    )
  }
  return route(router, collection, key, 'p', payload, expected)
}

/** @throws HeadwaterError KEY_INVALID, EXPECTED_INVALID */
export function prepareDelete(
  router: Router,
  collection: AnyCollection,
  key: string,
  expected: Expected,
): RoutedChange {
  checkKey(collection.name, key)
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
  operation: 'p' | 'd',
  payload: string,
  expected: Expected,
): RoutedChange {
  const { partition, bucket } = locate(router, collection, key)
  const kind = operation === 'p' ? 'put' : 'delete'
  return {
    collection,
    key,
    escapedKey: escapeKey(key),
    operation,
    payload,
    hash: packHash(router.hasher.content(collection.name, collection.schemaVersion, kind, key, payload)),
    bucket,
    partition,
    expected,
    expectedCode: encodeExpected(expected),
  }
}
