import type { Change } from '../change/change.ts'
import { formatPosition } from '../change/position.ts'
import type { Check } from '../proof/prover.ts'
import type { Outcome } from '../sink/outcome.ts'
import type { GroupTelemetry } from '../telemetry/group-telemetry.ts'
import type { HealthWatch } from './group-health.ts'
import type { WorkerEvent } from './worker-event.ts'

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

export interface PartitionObserverOptions {
  readonly group: string
  readonly health: HealthWatch
  readonly telemetry: GroupTelemetry
  readonly onEvent: (event: WorkerEvent) => void
}

/** Passes on what happens in one partition of a group. */
export function partitionObserver(
  { group, health, telemetry, onEvent }: PartitionObserverOptions,
  partition: number,
): PartitionObserver {
  return {
    async apply(changes, attempt, call) {
      const outcomes = await telemetry.apply(partition, changes, attempt, call)
      if (outcomes.some(({ kind }) => kind === 'retry')) health.progressed(partition)
      return outcomes
    },
    superseded: (count) => telemetry.superseded(partition, count),
    parked(count) {
      telemetry.parked(partition, count)
      health.progressed(partition)
    },
    redriven: () => health.progressed(partition),
    paused: (paused) => health.paused(partition, paused),
    stoodStill: (reason) => health.stoodStill(partition, reason),
    checkpointed: () => health.progressed(partition),
    checked: ({ result, reason, marker }) => {
      const before = health.checked(partition, result)
      if (result !== 'different' || before === 'different') return
      onEvent({
        kind: 'differs',
        group,
        partition,
        at: formatPosition(partition, marker.stamp),
        found: reason,
      })
    },
  }
}
