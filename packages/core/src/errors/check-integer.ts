import { HeadwaterError } from './headwater-error.ts'
import { quoted } from './quoted.ts'

/** @throws HeadwaterError OPTION_INVALID unless the option of this name is an integer within these bounds */
export function checkInteger(name: string, value: unknown, min: number, max: number): void {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return
  throw new HeadwaterError(
    'OPTION_INVALID',
    `${name} ${quoted(value)} must be an integer from ${min} to ${max}.`,
  )
}
