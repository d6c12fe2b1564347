import { Random } from '../support/random.ts'

/** What can happen to workers, the network, the server and the target. */
const troubles = [
  'kill',
  'freeze',
  'cut',
  'silence',
  'refuse connections',
  'freeze the server',
  'set the clock',
  'forget scripts',
  'destroy the group',
  'target down',
  'lose calls',
  'reject a key',
  'refuse a key',
  'redrive',
  'hand over',
] as const
export type Trouble = (typeof troubles)[number]

/** One life of a small group, as its seed has it. */
export interface Plan {
  readonly seed: number
  readonly partitions: number
  readonly workers: number
  readonly keys: number
  readonly changes: number
  /** Whether every change counts, as for a sink of events. */
  readonly everyChange: boolean
  readonly concurrency: number
  readonly leaseMs: number
  readonly latencyMs: number
  /** For so long things go wrong, ms. */
  readonly troubledMs: number
  /** What goes wrong at all, and how often. */
  readonly troubles: readonly Trouble[]
  readonly troubleCount: number
}

/**
 * First chosen is what can go wrong in a life at all, and then how often: where everything goes wrong at once, most of it
 * is never reached. Source of the idea: the two steps of FoundationDB's fault injection.
 */
export function planOf(seed: number): Plan {
  const random = new Random(seed)
  const only = random.below(8)
  const chosen =
    only === 0 ? [] : only === 1 ? (['kill'] as const) : troubles.filter(() => random.chance(0.35))
  return {
    seed,
    partitions: random.between(1, 3),
    workers: random.between(1, 3),
    keys: random.between(1, 4),
    changes: random.between(2, 24),
    everyChange: random.chance(0.4),
    concurrency: random.between(1, 3),
    leaseMs: random.pick([900, 1_500, 3_000]),
    latencyMs: random.pick([1, 1, 5, 30]),
    troubledMs: random.between(500, 8_000),
    troubles: chosen,
    troubleCount: chosen.length === 0 ? 0 : random.between(1, 8),
  }
}
