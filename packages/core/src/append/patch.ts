import { formatVersion } from '../change/version.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { RecordReader } from '../state/record-reader.ts'
import { stateValue } from '../state/state-record.ts'
import type { PatchRequest } from './change-request.ts'
import { encodeExpected, type Expected } from './expected.ts'
import { preparePut, validate, type RoutedChange, type Router } from './prepare.ts'
import { VersionConflictError } from './version-conflict-error.ts'

/**
 * Reads the latest value and turns the patch into a put that only succeeds on exactly what was read.
 *
 * @throws HeadwaterError STATE_REQUIRED, VALUE_INVALID, KEY_ABSENT, KEY_INVALID; VersionConflictError
 */
export async function preparePatch(
  router: Router,
  state: RecordReader,
  { collection, key, changes }: PatchRequest,
  expected: Expected,
): Promise<RoutedChange> {
  if (collection.state !== 'values') {
    throw new HeadwaterError(
      'STATE_REQUIRED',
      `patch reads the latest value, and ${collection.name} is defined with state "${collection.state}".`,
    )
  }
  if (typeof changes !== 'object' || changes === null || Array.isArray(changes)) {
    throw new HeadwaterError(
      'VALUE_INVALID',
      `patch of ${collection.name} takes an object of properties to replace.`,
    )
  }
  const expectedCode = encodeExpected(expected)
  const [record] = await state.records(collection, [key])
  if (!record || record.deleted) {
    if (expected !== 'any' && expected !== 'absent' && expected !== 'exists') {
      throw new VersionConflictError(collection.name, key, expected, undefined)
    }
    throw new HeadwaterError(
      'KEY_ABSENT',
      `Key ${JSON.stringify(key)} of ${collection.name} does not exist, so it cannot be patched; put the whole value.`,
    )
  }
  const actual = formatVersion(record.version, record.stamp.epoch)
  const fits = expectedCode === undefined || expected === 'exists' || expected === actual
  if (!fits) throw new VersionConflictError(collection.name, key, expected, actual)
  const latest = stateValue(collection, key, record)
  if (typeof latest !== 'object' || latest === null || Array.isArray(latest)) {
    throw new HeadwaterError(
      'VALUE_INVALID',
      `The value of key ${JSON.stringify(key)} of ${collection.name} is no object, so it cannot be patched; put the whole value.`,
    )
  }
  const value: unknown = await validate(collection, { ...latest, ...changes })
  const change = preparePut(router, collection, value, actual)
  if (change.key !== key) {
    throw new HeadwaterError(
      'KEY_INVALID',
      `The patch of key ${JSON.stringify(key)} of ${collection.name} changes the key to ${JSON.stringify(change.key)}.`,
    )
  }
  return change
}
