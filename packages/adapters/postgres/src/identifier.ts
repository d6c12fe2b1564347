import { HeadwaterError } from '@headwater/core'

/** NAMEDATALEN - 1. Postgres cuts longer names without an error, so that two of them can become one. */
const bytesMax = 63

/** Every table has these, and they cannot be named otherwise, not even quoted. */
const systemColumns = new Set(['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid'])

/** Quotes a name, so that it means exactly itself: case, spaces, quotes, reserved words and all. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/**
 * Checks a name before it is used. `what` says in the message what it is the name of.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export function checkIdentifier(name: unknown, what: string, remedy: string): asserts name is string {
  const invalid = (why: string): never => {
    throw new HeadwaterError('OPTION_INVALID', `${what} ${JSON.stringify(name)} ${why}: ${remedy}.`)
  }
  if (typeof name !== 'string' || name === '') return invalid('is not a name')
  if (name.includes('\0') || !name.isWellFormed()) invalid('has characters that Postgres cannot store')
  const bytes = Buffer.byteLength(name)
  if (bytes > bytesMax) invalid(`is ${bytes} bytes long, and Postgres takes ${bytesMax}`)
}

/** @throws HeadwaterError OPTION_INVALID */
export function checkColumnName(name: unknown, what: string, remedy: string): asserts name is string {
  checkIdentifier(name, what, remedy)
  if (systemColumns.has(name)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `${what} "${name}" is a system column of every table: ${remedy}.`,
    )
  }
}
