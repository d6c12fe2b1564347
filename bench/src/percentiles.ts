/** Shares of all values, in the order of `Percentiles`. */
export const shares = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999] as const

/** For each share: the value that so many do not exceed. */
export type Percentiles = readonly number[]

export function percentiles(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b)
  return shares.map((share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN)
}
