/** The seed of random tests: `TEST_SEED` repeats a run that failed. Undefined lets each test choose. */
export const givenSeed: number | undefined =
  process.env['TEST_SEED'] === undefined ? undefined : Number(process.env['TEST_SEED'])

/** Random choices that a seed repeats. */
export interface SeededRandom {
  /** From 0, below 1. */
  next(): number
  /** An integer from 0, below `bound`. */
  below(bound: number): number
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
}

/** The generator mulberry32 of Tommy Ettinger: small, and good enough to choose faults with. */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (bound: number): number => Math.floor(next() * bound)
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (items) => items[below(items.length)]!,
  }
}
