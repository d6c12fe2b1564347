import type { LineChart } from './line-chart.ts'
import type { Progress } from './progress.ts'

/** A question that is answered by measuring: one file of `questions/` each. */
export interface Question {
  readonly name: string
  /** Heading in RESULTS.md. */
  readonly asks: string
  readonly answer: (bench: Bench) => Promise<Answer>
}

/** How much to measure. */
export interface Bench {
  /** How often each contender is measured. */
  readonly rounds: number
  /** 1 is the size at which results count; less is for trying out. */
  readonly scale: number
  readonly progress: Progress
}

export interface Answer {
  readonly ratios: readonly Ratio[]
  /** Who took part, and with which settings. */
  readonly contenders: readonly string[]
  /** Servers and packages → version. */
  readonly versions: Readonly<Record<string, string>>
  readonly charts?: readonly LineChart[]
  /** What could not be measured → why. */
  readonly missing?: Readonly<Record<string, string>>
}

/** Two things measured in the same run, divided: one value a round. */
export interface Ratio {
  /** `<question>/<what>/<against what>`: a name in the JSON. */
  readonly name: string
  /** Where we want it; undefined when it is only for comparison. */
  readonly bar?: { readonly atLeast: number } | { readonly atMost: number }
  readonly values: readonly number[]
}

/** A count at this scale: a multiple of `step`, and at least one step. */
export function scaled(count: number, { scale }: Bench, step = 500): number {
  return Math.max(1, Math.round((count * scale) / step)) * step
}
