import type { Line, LineChart } from '../src/line-chart.ts'
import { measureLatency } from '../src/measure-system.ts'
import { packageVersions } from '../src/package-versions.ts'
import { shares, type Percentiles } from '../src/percentiles.ts'
import type { Question, Ratio } from '../src/question.ts'
import { alternate, divide, median } from '../src/rounds.ts'
import { startServers } from '../src/servers.ts'
import type { System } from '../src/system.ts'
import { system as headwater } from '../systems/headwater.ts'
import { system as plainLoop } from '../systems/plain-loop.ts'

const perSecond = [1_000, 10_000]
const seconds = 5
const bars = { p50: { atMost: 1.5 }, p99: { atMost: 2 } }

interface Measured {
  readonly p50: number
  readonly p99: number
  /** A producer that cannot keep its schedule sends in bursts. */
  readonly behindMs: number
  readonly percentiles: Percentiles
}

export const latency: Question = {
  name: 'latency',
  asks: 'How long is a change under way from append() to applied at a second Redis, at a rate that waits for nobody?',
  async answer(bench) {
    await using servers = await startServers([...headwater.needs, ...plainLoop.needs])
    const ratios: Ratio[] = []
    const lines: Line[] = []
    for (const rate of perSecond) {
      const measure = (system: System) => async (): Promise<Measured> => {
        const load = { perSecond: rate, seconds: Math.max(0.2, seconds * bench.scale), bytes: 100 }
        const { percentiles, behindMs } = await measureLatency(system, servers.addresses, load)
        return { p50: at(percentiles, 0.5), p99: at(percentiles, 0.99), behindMs, percentiles }
      }
      const measured = await alternate(
        bench.rounds,
        { headwater: measure(headwater), 'plain-loop': measure(plainLoop) },
        bench.progress.measured,
      )
      for (const percentile of ['p50', 'p99'] as const) {
        const of = (rounds: readonly Measured[]) => rounds.map((round) => round[percentile])
        ratios.push({
          name: `latency/${percentile}-at-${rate}-per-second/plain-loop`,
          bar: bars[percentile],
          values: divide(of(measured.headwater), of(measured['plain-loop'])),
        })
      }
      for (const [name, rounds] of Object.entries(measured))
        lines.push({ label: `${name}, ${rate}/s`, points: pointsOf(rounds) })
    }
    return {
      ratios,
      charts: [chartOf(lines)],
      contenders: [
        'timed from the moment at which the application hands a product over to that at which the consumer has it, and Headwater has applied it; sent by the clock, whether earlier ones have arrived or not; JSON of 100 bytes',
        ...[headwater, plainLoop].map(({ name, settings }) => `\`${name}\`: ${settings}`),
      ],
      versions: { ...servers.versions, ...packageVersions([plainLoop]) },
    }
  },
}

function at(percentiles: Percentiles, share: (typeof shares)[number]): number {
  return percentiles[shares.indexOf(share)] ?? NaN
}

/** One in how many takes longer → ms. */
function pointsOf(rounds: readonly Measured[]): Line['points'] {
  return shares.map((share) => [
    1 / (1 - share),
    median(rounds.map(({ percentiles }) => at(percentiles, share))),
  ])
}

function chartOf(lines: readonly Line[]): LineChart {
  return {
    name: 'latency',
    title: 'From append to applied',
    x: {
      label: 'percentile',
      logarithmic: true,
      ticks: [
        [2, '50'],
        [10, '90'],
        [100, '99'],
        [1_000, '99.9'],
      ],
    },
    y: {
      label: 'ms',
      logarithmic: true,
      ticks: [0.1, 1, 10, 100, 1_000].map((ms) => [ms, String(ms)] as const),
    },
    lines,
  }
}
