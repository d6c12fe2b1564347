/** How one group of a worker is doing. */
export interface GroupHealth {
  /** False where a partition stands still although changes wait for it or there is no room to park, or where Redis could not be asked for as long. */
  readonly ready: boolean
  /** Changes behind the checkpoint, over the partitions that this worker holds. */
  readonly lag: number
  /** Partitions in which changes wait, and no checkpoint, retry or parking happened for `stalledAfterMs`. */
  readonly stalled: readonly number[]
  /** Partitions that stand still because they have parked as much as they may, and why. */
  readonly standstill: Readonly<Record<number, string>>
  /** Partitions that this worker holds. */
  readonly partitions: readonly number[]
}

interface PartitionHealth {
  lag: number
  /** Since when changes wait without anything happening; undefined while none wait. */
  waitingSince: number | undefined
  standstill?: string | undefined
}

/** Watches whether work goes on wherever it waits. Pure: told what happened, and what time it is. */
export class HealthWatch {
  readonly #stalledAfterMs: number
  readonly #now: () => number
  readonly #partitions = new Map<number, PartitionHealth>()
  #observedAt: number

  /** @param now a clock that only rises, in ms */
  constructor(stalledAfterMs: number, now: () => number = () => performance.now()) {
    this.#stalledAfterMs = stalledAfterMs
    this.#now = now
    this.#observedAt = now()
  }

  /** A checkpoint, a retry or a parking. */
  progressed(partition: number): void {
    const of = this.#partitions.get(partition)
    if (of?.waitingSince !== undefined) of.waitingSince = this.#now()
  }

  /** A partition has no room to park, and why; undefined when it goes on. */
  stoodStill(partition: number, reason: string | undefined): void {
    const of = this.#partitions.get(partition) ?? { lag: 0, waitingSince: undefined }
    of.standstill = reason
    this.#partitions.set(partition, of)
  }

  /** Redis has told how far the partitions are behind that this worker holds now. */
  observed(lags: ReadonlyMap<number, number>): void {
    this.#observedAt = this.#now()
    for (const partition of this.#partitions.keys())
      if (!lags.has(partition)) this.#partitions.delete(partition)
    for (const [partition, lag] of lags) {
      const waitingSince =
        lag > 0 ? (this.#partitions.get(partition)?.waitingSince ?? this.#now()) : undefined
      const standstill = this.#partitions.get(partition)?.standstill
      this.#partitions.set(partition, { lag, waitingSince, standstill })
    }
  }

  lags(): Iterable<readonly [partition: number, lag: number]> {
    return [...this.#partitions].map(([partition, { lag }]) => [partition, lag] as const)
  }

  report(): GroupHealth {
    const longAgo = this.#now() - this.#stalledAfterMs
    const held = [...this.#partitions]
    const stalled = held
      .filter(([, { waitingSince }]) => waitingSince !== undefined && waitingSince <= longAgo)
      .map(([partition]) => partition)
    const standstill = Object.fromEntries(
      held.flatMap(([partition, of]) => (of.standstill === undefined ? [] : [[partition, of.standstill]])),
    )
    return {
      ready: stalled.length === 0 && Object.keys(standstill).length === 0 && this.#observedAt > longAgo,
      lag: held.reduce((sum, [, { lag }]) => sum + lag, 0),
      stalled,
      standstill,
      partitions: held.map(([partition]) => partition),
    }
  }
}
