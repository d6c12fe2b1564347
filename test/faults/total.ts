import type { BreachKind } from './check-history.ts'
import type { LifeReport } from './life-report.ts'

/** What several lives came to, in the words of the last line of `pnpm test:faults`. */
export interface Total {
  /** Appends that were tried. */
  readonly operations: number
  readonly acknowledged: number
  readonly faults: number
  /** Acknowledged under a durability that survives these faults, and not there. */
  readonly lost: number
  readonly doubled: number
  readonly outOfOrder: number
  /** Sinks that went back, or are not the fold of the log. */
  readonly sinksWrong: number
  readonly zombieEffects: number
  /** Refused without a reason, refused and there, there and never tried. */
  readonly strange: number
  /** Faults after which something took longer than promised. */
  readonly unrecovered: number
  /** Lives that ended in an error, such as a log that stood still. */
  readonly failed: number
  /** Acknowledged, and lost with history that was taken away on purpose: every one of them was named. */
  readonly lostAndNamed: number
  readonly minutes: number
  readonly seeds: readonly string[]
}

function losesOnPurpose({ kind }: LifeReport): boolean {
  return kind === 'forked'
}

export function totalOf(reports: readonly LifeReport[], failed: readonly string[]): Total {
  const sum = (of: (report: LifeReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0)
  const breaches = (kind: BreachKind): number =>
    sum((report) => report.breaches.filter((breach) => breach.kind === kind).length)
  return {
    operations: sum(({ counts }) => counts.attempts),
    acknowledged: sum(({ counts }) => counts.stored),
    faults: sum(({ deeds }) => Object.values(deeds).reduce((total, times) => total + times, 0)),
    lost: breaches('lost') + sum((report) => (losesOnPurpose(report) ? 0 : report.counts.lost)),
    doubled: breaches('doubled'),
    outOfOrder: breaches('out of order'),
    sinksWrong: breaches('sink') + sum((report) => (report.kind === 'single' ? report.counts.orphans : 0)),
    zombieEffects: breaches('zombie'),
    strange: breaches('strange'),
    unrecovered: sum(({ recoveries }) => recoveries.filter(({ tookMs, boundMs }) => tookMs > boundMs).length),
    failed: failed.length,
    lostAndNamed: sum((report) => (losesOnPurpose(report) ? report.counts.lost : 0)),
    minutes: Math.round(sum(({ seconds }) => seconds) / 6) / 10,
    seeds: [...reports.map(({ kind, seed }) => `${kind} ${seed}`), ...failed],
  }
}

/** Whether everything held that is promised. */
export function isSound(total: Total): boolean {
  const { lost, doubled, outOfOrder, sinksWrong, zombieEffects, strange, unrecovered, failed } = total
  return lost + doubled + outOfOrder + sinksWrong + zombieEffects + strange + unrecovered + failed === 0
}
