import type { Cursor } from '../cursor.ts'

/** Throws when two names are the same: members of a set, fields of a hash. */
export function checkDistinct<T>(
  cursor: Cursor,
  what: string,
  items: readonly T[],
  nameOf: (item: T) => Buffer,
): void {
  if (items.length < 2) return
  const seen = new Set<string>()
  for (const item of items) seen.add(nameOf(item).toString('latin1'))
  if (seen.size !== items.length) cursor.corrupt(`${what} stands there twice.`)
}
