import type { Comparison } from './oracle.ts'
import type { Replay } from './replay.ts'
import { countUnacknowledged } from './takeover.ts'

/** What a run of the demo has shown. */
export interface Outcome extends Replay {
  /** The version of the last release, and how many features it has. */
  readonly release: string
  readonly live: number
  readonly leaseMs: number
  readonly replicas: Readonly<Record<string, Comparison>>
}

export function allEqual({ replicas }: Pick<Outcome, 'replicas'>): boolean {
  return Object.values(replicas).every(({ equal }) => equal)
}

/** For programs. */
export function summaryObject(outcome: Outcome): object {
  const { live, seconds, takeover, replicas } = outcome
  const changes = totalChanges(outcome)
  return {
    changes,
    live,
    equal: Object.fromEntries(Object.entries(replicas).map(([name, { equal }]) => [name, equal])),
    seconds: toMilliseconds(seconds),
    changesPerSecond: Math.round(changes / seconds),
    takeoverSeconds: toMilliseconds(takeover.seconds),
    killedWorkers: 1,
  }
}

/** For people. */
export function summaryText(outcome: Outcome): string {
  const { release, live, changes, seconds, leaseMs, takeover, replicas } = outcome
  const total = totalChanges(outcome)
  return `
Throughput  ${number(total)} changes (${number(changes.create)} creates, ${number(changes.update)} updates, ${number(changes.delete)} deletes)
            went through the log into both replicas in ${seconds.toFixed(1)} s: ${number(total / seconds)} changes/s

Takeover    SIGKILL hit worker ${takeover.worker.pid} while it owned ${takeover.owned.length} partitions and held
            ${number(countUnacknowledged(takeover.owned))} delivered, unacknowledged batches; ${takeover.seconds.toFixed(1)} s later another worker went on
            (leases last ${leaseMs / 1_000} s in this demo, 15 s by default)

Proof       both replicas against release ${release} as published, ${number(live)} features, key by key and value by value
${Object.entries(replicas)
  .map(([name, comparison]) => proof(name, comparison))
  .join('\n')}
`
}

function proof(name: string, { equal, compared, missing, foreign, different }: Comparison): string {
  const verdict = equal
    ? `✓ all ${number(compared)} features are equal`
    : `✗ NOT EQUAL (${number(compared)} features held)`
  const differences = Object.entries({ missing, foreign, different })
    .filter(([, paths]) => paths.length > 0)
    .map(
      ([what, paths]) =>
        `\n            ${' '.repeat(12)}${number(paths.length)} ${what}: ${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ', …' : ''}`,
    )
  return `            ${name.padEnd(9)} ${verdict}${differences.join('')}`
}

function totalChanges({ changes }: Outcome): number {
  return changes.create + changes.update + changes.delete
}

function number(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

function toMilliseconds(seconds: number): number {
  return Math.round(seconds * 1_000) / 1_000
}
