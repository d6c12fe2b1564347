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
  'fail over',
  'target down',
  'lose calls',
  'reject a key',
  'refuse a key',
  'redrive',
  'hand over',
] as const
export type Trouble = (typeof troubles)[number]

/** How much there is in a life: of everything a little, so that thousands are led in a second, or as much as it takes. */
export type Scope = 'small' | 'large'

/** One life of a group, as its seed has it. */
export interface Plan {
  readonly seed: number
  readonly scope: Scope
  readonly partitions: number
  readonly workers: number
  readonly keys: number
  readonly changes: number
  /** Whether every change counts, as for a sink of events. */
  readonly everyChange: boolean
  readonly concurrency: number
  readonly leaseMs: number
  /** How long a call of the sink may take, ms. */
  readonly applyTimeoutMs: number
  readonly latencyMs: number
  /** How many of the messages take no time at all. */
  readonly atOnce: number
  /** Whether the server has seen all scripts before. */
  readonly scriptsKnown: boolean
  /** For so long things go wrong, ms. */
  readonly troubledMs: number
  /** What goes wrong at all, and how often. */
  readonly troubles: readonly Trouble[]
  readonly troubleCount: number
  /** Whether stops and silences run to their own end, instead of ending with the rest. */
  readonly lastsOn: boolean
  /** Around so many moments everything happens that is done to the workers; 0: at any time. */
  readonly moments: number
}

/**
 * First chosen is what can go wrong in a life at all, and then how often: where everything goes wrong at once, most of it
 * is never reached. Source of the idea: the two steps of FoundationDB's fault injection.
 */
export function planOf(seed: number, scope: Scope = 'large'): Plan {
  const random = new Random(seed)
  return scope === 'small' ? smallPlan(seed, random) : largePlan(seed, random)
}

function largePlan(seed: number, random: Random): Plan {
  const only = random.below(8)
  const chosen =
    only === 0 ? [] : only === 1 ? (['kill'] as const) : troubles.filter(() => random.chance(0.35))
  return {
    seed,
    scope: 'large',
    atOnce: 0,
    scriptsKnown: false,
    partitions: random.between(1, 3),
    workers: random.between(1, 3),
    keys: random.between(1, 4),
    changes: random.between(2, 24),
    everyChange: random.chance(0.4),
    concurrency: random.between(1, 3),
    leaseMs: random.pick([900, 1_500, 3_000]),
    applyTimeoutMs: 2_000,
    latencyMs: random.pick([1, 1, 5, 30]),
    troubledMs: random.between(500, 8_000),
    troubles: chosen,
    troubleCount: chosen.length === 0 ? 0 : random.between(1, 8),
    lastsOn: false,
    moments: 0,
  }
}

/**
 * Most bugs of order need few hands, few keys and one or two troubles, met in the right order: so there is little of everything,
 * and each message is drawn to come at once, soon, or when much else has happened. Source of the idea: the small scope hypothesis
 * of Daniel Jackson's Alloy.
 */
function smallPlan(seed: number, random: Random): Plan {
  const only = random.below(4)
  const chosen =
    only === 0 ? [] : only === 1 ? (['kill'] as const) : [random.pick(troubles), random.pick(troubles)]
  return {
    seed,
    scope: 'small',
    partitions: random.chance(0.75) ? 1 : 2,
    workers: random.pick([1, 2, 2, 3]),
    keys: random.pick([1, 2, 2, 3]),
    changes: random.between(1, 6),
    everyChange: random.chance(0.5),
    concurrency: random.between(1, 2),
    leaseMs: 900,
    // Above the lease too: a call may come to the target when its partition has long been another's.
    applyTimeoutMs: 1_000,
    latencyMs: random.pick([1, 10, 100]),
    atOnce: random.pick([0.5, 0.8]),
    scriptsKnown: random.chance(0.9),
    troubledMs: random.between(10, 300),
    troubles: chosen,
    troubleCount: chosen.length === 0 ? 0 : random.between(1, 3),
    lastsOn: true,
    moments: random.between(1, 3),
  }
}
