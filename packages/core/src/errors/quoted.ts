const charactersMax = 200

/** A value that cannot be, as messages show it: as JSON where it is some, and the beginning of what is long. */
export function quoted(value: unknown): string {
  if (typeof value === 'number') return String(value)
  if (typeof value === 'string' && value.length > charactersMax)
    return `${JSON.stringify(value.slice(0, charactersMax))}…`
  try {
    return (JSON.stringify(value) ?? String(value)).slice(0, charactersMax)
  } catch {
    // A big integer, a cycle, an object that refuses to be told.
    return typeof value === 'bigint' ? `${value}n` : `some ${typeof value}`
  }
}
