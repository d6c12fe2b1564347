import type { Change } from '../change/change.ts'
import type { Check } from '../proof/prover.ts'
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
  /** So many changes were set aside that were not before. */
  parked(count: number): void
  /** A parked key was fed back, and taken or rejected again. */
  redriven(): void
  paused(paused: boolean): void
  /** Why nothing is offered to the sink any more; undefined when it goes on. */
  stoodStill(reason: string | undefined): void
  checkpointed(): void
  checked(check: Check): void
}
