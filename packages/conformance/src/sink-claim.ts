import type { SinkHarness } from './sink-harness.ts'

/** One sentence that must be true of a sink, and how to find out. */
export interface SinkClaim {
  /** Reads on after the sink's name. */
  readonly claim: string
  /** Some claims hold only where something is declared; default: of every sink. */
  readonly concerns?: (harness: SinkHarness) => boolean
  /** Rejects when the claim is not true. */
  readonly run: (harness: SinkHarness) => Promise<void>
}
