import { measureLatency } from '../src/measure-system.ts'
import { packageVersions } from '../src/package-versions.ts'
import { shares, type Percentiles } from '../src/percentiles.ts'
import type { Question, Ratio } from '../src/question.ts'
import { alternate, divide } from '../src/rounds.ts'
import { startServers } from '../src/servers.ts'
import type { System } from '../src/system.ts'
import { system as headwaterFeed } from '../systems/headwater-feed.ts'
import { system as pubSub } from '../systems/pub-sub.ts'

const perSecond = [500, 5_000]
const seconds = 5
const bars = { p50: { atMost: 1.5 }, p99: undefined }

export const feed: Question = {
  name: 'feed',
  asks: 'How long is a change under way from append() to a subscriber of the feed, beside bare publish/subscribe?',
  async answer(bench) {
    await using servers = await startServers([...headwaterFeed.needs, ...pubSub.needs])
    const ratios: Ratio[] = []
    for (const rate of perSecond) {
      const measure = (system: System) => async (): Promise<Percentiles> => {
        const load = { perSecond: rate, seconds: Math.max(0.2, seconds * bench.scale), bytes: 100 }
        return (await measureLatency(system, servers.addresses, load)).percentiles
      }
      const measured = await alternate(
        bench.rounds,
        { feed: measure(headwaterFeed), 'pub-sub': measure(pubSub) },
        bench.progress.measured,
      )
      for (const [percentile, share] of [
        ['p50', 0.5],
        ['p99', 0.99],
      ] as const) {
        const bar = bars[percentile]
        const of = (rounds: readonly Percentiles[]) =>
          rounds.map((round) => round[shares.indexOf(share)] ?? NaN)
        ratios.push({
          name: `feed/${percentile}-at-${rate}-per-second/pub-sub`,
          ...(bar && { bar }),
          values: divide(of(measured.feed), of(measured['pub-sub'])),
        })
      }
    }
    return {
      ratios,
      contenders: [
        'timed from the call that sends to the loop of the subscriber; sent by the clock, whether earlier ones have arrived or not; JSON of 100 bytes; publish/subscribe keeps nothing',
        ...[headwaterFeed, pubSub].map(({ name, settings }) => `\`${name}\`: ${settings}`),
      ],
      versions: { ...servers.versions, ...packageVersions([pubSub]) },
    }
  },
}
