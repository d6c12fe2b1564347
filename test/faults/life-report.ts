import type { Verdict } from './check-history.ts'
import type { LifeKind } from './life.ts'
import type { Recovery } from './recovery.ts'

/** What a life came to, as far as it leaves its process. */
export interface LifeReport extends Verdict {
  readonly kind: LifeKind
  readonly seed: number
  readonly seconds: number
  /** What was done, and how often. */
  readonly deeds: Readonly<Record<string, number>>
  readonly recoveries: readonly Recovery[]
  /** How often a worker found its lease taken by another. */
  readonly fenced: number
  /** How often a worker told that history was lost. */
  readonly losses: number
}
