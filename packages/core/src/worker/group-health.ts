import type { CheckResult } from '../proof/partition-proof.ts'

/** What the markers of the log have proven of a group's sink, over the partitions that this worker holds. */
export interface ProofHealth {
  /**
   * `verified` when every partition was equal at its latest check, `different` when one was not; `pending` while one was
   * not checked yet, or nothing could be said. Not a part of `ready`: a worker that is taken out mends no copy.
   */
  readonly state: 'verified' | 'different' | 'pending'
  /** How long ago the partition was proven equal for which that is longest, in ms; undefined where one never was. */
  readonly ageMs: number | undefined
  /** Partitions that were different at their latest check. */
  readonly different: readonly number[]
}

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
  /** Partitions that somebody has paused. They count as ready. */
  readonly paused: readonly number[]
  /** Partitions that this worker holds. */
  readonly partitions: readonly number[]
  readonly proof: ProofHealth
  /** Partitions whose sink still gets its first copy: what it holds cannot be relied on yet. */
  readonly copying: readonly number[]
}

interface PartitionHealth {
  lag: number
  /** Undefined before it was looked at. */
  parked?: number | undefined
  /** What the latest check came to, and when one last came to `equal`. */
  latest?: CheckResult
  verifiedAt?: number
  /** Since when changes wait without anything happening; undefined while none wait. */
  waitingSince: number | undefined
  standstill?: string | undefined
  paused?: boolean
}

/** Watches whether work goes on wherever it waits. Pure: told what happened, and what time it is. */
export class HealthWatch {
  readonly #stalledAfterMs: number
  readonly #now: () => number
  readonly #partitions = new Map<number, PartitionHealth>()
  #observedAt: number
  #copying: readonly number[] = []

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

  /** Somebody paused a partition, or let it go on. */
  paused(partition: number, paused: boolean): void {
    const of = this.#partitions.get(partition) ?? { lag: 0, waitingSince: undefined }
    of.paused = paused
    if (!paused && of.waitingSince !== undefined) of.waitingSince = this.#now()
    this.#partitions.set(partition, of)
  }

  /** A partition has no room to park, and why; undefined when it goes on. */
  stoodStill(partition: number, reason: string | undefined): void {
    const of = this.#partitions.get(partition) ?? { lag: 0, waitingSince: undefined }
    of.standstill = reason
    this.#partitions.set(partition, of)
  }

  /**
   * Redis has told how far the partitions are behind that this worker holds now, and how many keys of them are parked; in
   * some the first copy is under way.
   */
  observed(
    lags: ReadonlyMap<number, number>,
    copying: readonly number[] = [],
    parked: ReadonlyMap<number, number> = new Map(),
  ): void {
    this.#observedAt = this.#now()
    this.#copying = copying
    for (const partition of this.#partitions.keys())
      if (!lags.has(partition)) this.#partitions.delete(partition)
    for (const [partition, lag] of lags) {
      const held = this.#partitions.get(partition)
      const waitingSince = lag > 0 ? (held?.waitingSince ?? this.#now()) : undefined
      this.#partitions.set(partition, { ...held, lag, waitingSince, parked: parked.get(partition) })
    }
  }

  /** The sink was checked at a marker; gives what the check before came to. */
  checked(partition: number, result: CheckResult): CheckResult | undefined {
    const held = this.#partitions.get(partition)
    this.#partitions.set(partition, {
      lag: 0,
      waitingSince: undefined,
      ...held,
      latest: result,
      ...(result === 'equal' && { verifiedAt: this.#now() }),
    })
    return held?.latest
  }

  /** For how long each partition was not proven equal, in ms; without those that never were. */
  proofAges(): Iterable<readonly [partition: number, ageMs: number]> {
    const now = this.#now()
    return [...this.#partitions].flatMap(([partition, { verifiedAt }]) =>
      verifiedAt === undefined ? [] : [[partition, now - verifiedAt] as const],
    )
  }

  lags(): Iterable<readonly [partition: number, lag: number]> {
    return [...this.#partitions].map(([partition, { lag }]) => [partition, lag] as const)
  }

  parkedKeys(): Iterable<readonly [partition: number, keys: number]> {
    return [...this.#partitions].flatMap(([partition, { parked }]) =>
      parked === undefined ? [] : [[partition, parked] as const],
    )
  }

  report(): GroupHealth {
    const longAgo = this.#now() - this.#stalledAfterMs
    const held = [...this.#partitions]
    const stalled = held
      .filter(
        ([, { waitingSince, paused }]) => !paused && waitingSince !== undefined && waitingSince <= longAgo,
      )
      .map(([partition]) => partition)
    const standstill = Object.fromEntries(
      held.flatMap(([partition, of]) => (of.standstill === undefined ? [] : [[partition, of.standstill]])),
    )
    return {
      ready: stalled.length === 0 && Object.keys(standstill).length === 0 && this.#observedAt > longAgo,
      lag: held.reduce((sum, [, { lag }]) => sum + lag, 0),
      stalled,
      standstill,
      paused: held.filter(([, { paused }]) => paused).map(([partition]) => partition),
      partitions: held.map(([partition]) => partition),
      proof: this.#proof(),
      copying: this.#copying,
    }
  }

  #proof(): ProofHealth {
    const held = [...this.#partitions]
    const different = held.filter(([, { latest }]) => latest === 'different').map(([partition]) => partition)
    const ages = [...this.proofAges()].map(([, ageMs]) => ageMs)
    const isVerified = held.length > 0 && held.every(([, { latest }]) => latest === 'equal')
    return {
      state: different.length > 0 ? 'different' : isVerified ? 'verified' : 'pending',
      ageMs: held.length > 0 && ages.length === held.length ? Math.max(...ages) : undefined,
      different,
    }
  }
}
