import type { LifeReport } from './life.ts'

/** What many lives came to. */
export interface Tally {
  lives: number
  failed: number[]
  steps: number
  simulatedMs: number
  troubles: number
  slowestRecoveryMs: number
  events: Record<string, number>
}

export function emptyTally(): Tally {
  return { lives: 0, failed: [], steps: 0, simulatedMs: 0, troubles: 0, slowestRecoveryMs: 0, events: {} }
}

export function addLife(
  tally: Tally,
  { seed, breaches, steps, tookMs, recoveryMs, events, troubles }: LifeReport,
): void {
  addTally(tally, {
    lives: 1,
    failed: breaches.length > 0 ? [seed] : [],
    steps,
    simulatedMs: tookMs,
    troubles,
    slowestRecoveryMs: recoveryMs,
    events,
  })
}

export function addTally(tally: Tally, other: Readonly<Tally>): void {
  tally.lives += other.lives
  tally.failed.push(...other.failed)
  tally.steps += other.steps
  tally.simulatedMs += other.simulatedMs
  tally.troubles += other.troubles
  tally.slowestRecoveryMs = Math.max(tally.slowestRecoveryMs, other.slowestRecoveryMs)
  for (const [kind, times] of Object.entries(other.events))
    tally.events[kind] = (tally.events[kind] ?? 0) + times
}
