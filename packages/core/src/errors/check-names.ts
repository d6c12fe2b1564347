import { HeadwaterError } from './headwater-error.ts'
import { quoted } from './quoted.ts'

/**
 * Refuses an option that there is not: misspelt, or put where it does not belong, it would be missed without a word.
 *
 * @param of whose options, for the message
 * @param known complete by its type: `Record<keyof Options, true>`
 * @throws HeadwaterError OPTION_INVALID
 */
export function checkNames(of: string, options: object, known: Readonly<Record<string, true>>): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name))
  if (unknown === undefined) return
  throw new HeadwaterError(
    'OPTION_INVALID',
    `${of} has no option ${quoted(unknown)}; there are ${Object.keys(known).join(', ')}.`,
  )
}
