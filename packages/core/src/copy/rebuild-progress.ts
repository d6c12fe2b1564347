import type { PartitionStatus } from '../group/group-status.ts'

export interface RebuildProgress {
  readonly phase: 'copying' | 'catching-up' | 'switching'
  readonly version: number
  /** Keys copied so far, and how many there were. */
  readonly copied: number
  readonly total: number
  /** Changes that the new version has yet to get. */
  readonly lag: number
  /** How much longer this phase takes at the present speed, in ms; undefined while that cannot be said. */
  readonly leftMs: number | undefined
  /** While it catches up: for how long it has not come closer to the end of the log, in ms. 0 while it does. */
  readonly notCloserMs: number
}

/** For so long the lag may rise and fall with the traffic, in ms. */
const unsteadyMs = 2_000

/** Adds up from look to look how far a rebuild is, and estimates how much longer it takes. */
export class RebuildMeter {
  readonly #version: number
  /** By partition: what was copied, also when it is done and nobody keeps the count any more. */
  readonly #copied = new Map<number, { readonly copied: number; readonly total: number }>()
  /** Where the present phase was when it was first seen. */
  #seen: { readonly phase: string; readonly at: number; readonly left: number } | undefined
  /** The smallest lag since it catches up, and since when. */
  #closest: { readonly at: number; readonly lag: number } | undefined

  constructor(version: number) {
    this.#version = version
  }

  /** How far it is, by what the partitions of the group that builds say now. */
  read(phase: RebuildProgress['phase'], statuses: readonly PartitionStatus[]): RebuildProgress {
    let [copied, total, lag] = [0, 0, 0]
    for (const { partition, copying, lag: behind } of statuses) {
      const { total: known = 0 } = this.#copied.get(partition) ?? {}
      const counts = copying ?? { copied: known, total: known }
      this.#copied.set(partition, counts)
      copied += counts.copied
      total += counts.total
      lag += behind
    }
    const now = performance.now()
    const leftMs = this.#leftMs(phase, phase === 'copying' ? total - copied : lag, now)
    const notCloserMs = this.#notCloserMs(phase, lag, now)
    return { phase, version: this.#version, copied, total, lag, leftMs, notCloserMs }
  }

  #leftMs(phase: RebuildProgress['phase'], left: number, now: number): number | undefined {
    if (this.#seen?.phase !== phase) this.#seen = { phase, at: now, left }
    const done = this.#seen.left - left
    return done > 0 ? ((now - this.#seen.at) / done) * left : undefined
  }

  #notCloserMs(phase: RebuildProgress['phase'], lag: number, now: number): number {
    if (phase !== 'catching-up') this.#closest = undefined
    else if (!this.#closest || lag < this.#closest.lag) this.#closest = { at: now, lag }
    const sinceMs = this.#closest ? now - this.#closest.at : 0
    return sinceMs < unsteadyMs ? 0 : sinceMs
  }
}
