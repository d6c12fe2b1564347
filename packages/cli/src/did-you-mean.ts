import { closestMatch } from 'leven'

/** ` Did you mean products?` behind a message, where one of the names is near what was given; else nothing. */
export function didYouMean(given: string, names: readonly string[]): string {
  // As for commands and options: up to three letters, and never most of the name.
  const maxDistance = Math.min(3, Math.floor(given.length / 2))
  const near = maxDistance === 0 ? undefined : closestMatch(given, names, { maxDistance })
  return near === undefined ? '' : ` Did you mean ${near}?`
}
