/** What is compared, by name. Each call is one measurement. */
export type Contenders<Name extends string, Measured> = { readonly [_ in Name]: () => Promise<Measured> }

/**
 * Measures in alternating rounds, A B A B …: what slows the machine down for a while, slows all of them down.
 *
 * @returns the measurements of each contender, a round each
 */
export async function alternate<Name extends string, Measured>(
  rounds: number,
  contenders: Contenders<Name, Measured>,
  onMeasured: (round: number, name: NoInfer<Name>, measured: Measured) => void = () => {},
): Promise<Record<Name, Measured[]>> {
  const names = Object.keys(contenders) as Name[]
  const results = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Measured[]>
  for (let round = 1; round <= rounds; round++) {
    for (const name of names) {
      const measured = await contenders[name]()
      results[name].push(measured)
      onMeasured(round, name, measured)
    }
  }
  return results
}

/** The ratio of each round. Only what was measured in the same round is divided. */
export function divide(dividends: readonly number[], divisors: readonly number[]): number[] {
  return dividends.map((dividend, round) => dividend / (divisors[round] ?? NaN))
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const [low = NaN, high = NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  return (low + high) / 2
}
