import type { Change } from '../change/change.ts'
import type { Outcome } from '../sink/outcome.ts'

/** Who is told what happens in one partition: telemetry and health. */
export interface PartitionObserver {
  /** Runs a call of the sink; `attempt` counts from 1. */
  apply(
    changes: readonly Change[],
    attempt: number,
    call: () => Promise<readonly Outcome[]>,
  ): Promise<readonly Outcome[]>
  /** So many changes were left out for newer ones of their key. */
  superseded(count: number): void
  parked(count: number): void
  checkpointed(): void
}
