import type { WorkerEvent } from '@headwater/core'
import { eventually } from '../support/eventually.ts'

/** What workers told, and waiting for what they have not told yet. */
export class WorkerEvents {
  readonly all: WorkerEvent[] = []

  /** For `onEvent`. */
  readonly note = (event: WorkerEvent): void => {
    this.all.push(event)
  }

  of<Kind extends WorkerEvent['kind']>(
    kind: Kind,
    partition?: number,
  ): Extract<WorkerEvent, { kind: Kind }>[] {
    return this.all.filter(
      (event): event is Extract<WorkerEvent, { kind: Kind }> =>
        event.kind === kind && (partition === undefined || event.partition === partition),
    )
  }

  /** The first event of this kind, as soon as there is one. */
  async first<Kind extends WorkerEvent['kind']>(
    kind: Kind,
    { partition, timeoutMs = 10_000 }: { partition?: number; timeoutMs?: number } = {},
  ): Promise<Extract<WorkerEvent, { kind: Kind }>> {
    return await eventually(
      () => {
        const [event] = this.of(kind, partition)
        if (event) return event
        throw new Error(
          `No "${kind}" among ${this.all.map((told) => JSON.stringify(told)).join('\n') || 'no events'}`,
        )
      },
      { timeoutMs, everyMs: 5 },
    )
  }
}
