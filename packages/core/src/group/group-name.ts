import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'

/** @throws HeadwaterError OPTION_INVALID */
export function checkGroupName(group: string): void {
  if (typeof group === 'string' && /^[a-zA-Z][a-zA-Z0-9_.-]{0,63}$/.test(group)) return
  throw new HeadwaterError(
    'OPTION_INVALID',
    `The group name ${quoted(group)} must be 1 to 64 of letters, digits, "_", "." and "-", and begin with a letter.`,
  )
}
