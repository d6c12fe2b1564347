import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import { parseVersion, type Version } from '../change/version.ts'

/** The version at which a key must be for an append to happen. A deleted key counts as absent. */
export type Expected = 'any' | 'absent' | 'exists' | Version

/** As the append script reads it; undefined for `any`. @throws HeadwaterError EXPECTED_INVALID */
export function encodeExpected(expected: Expected | undefined): string | undefined {
  if (expected === undefined || expected === 'any') return undefined
  if (expected === 'absent' || expected === 'exists') return expected
  try {
    const { number, epoch } = parseVersion(expected)
    return `version ${number} ${epoch}`
  } catch (cause) {
    throw new HeadwaterError(
      'EXPECTED_INVALID',
      `expected is ${quoted(expected)}; it must be "any", "absent", "exists" or a version such as "7".`,
      { cause },
    )
  }
}
