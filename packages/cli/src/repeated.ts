import { integerFrom } from './integer-from.ts'

// Values of options that may be repeated.

export function repeatedTexts(text: string, previous: readonly string[] = []): string[] {
  return [...previous, text]
}

/** From 0. */
export function repeatedNumbers(text: string, previous: readonly number[] = []): number[] {
  return [...previous, integerFrom(0)(text)]
}
