import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { scaled, type Bench, type Ratio } from './question.ts'
import type { RedisAddress } from './raw-client.ts'
import { alternate, divide } from './rounds.ts'
import { redisAddress, redisVersion } from './servers.ts'
import { sizeName } from './sizes.ts'

/** By what was measured, then by size: the cost in each round, relative to that at the smallest size. */
export type CostsBySize<What extends string> = Readonly<Record<What, ReadonlyMap<number, readonly number[]>>>

export interface SizesMeasured<What extends string> {
  readonly costs: CostsBySize<What>
  readonly versions: Readonly<Record<string, string>>
}

/** What is compared at several sizes. */
export interface SizeTrial<Prepared extends AsyncDisposable, What extends string> {
  /** The smallest first. */
  readonly sizes: readonly number[]
  /** On an empty server, once for each size. */
  readonly prepare: (redis: RedisAddress, size: number) => Promise<Prepared>
  /** In each round. */
  readonly measure: (prepared: Prepared) => Promise<Readonly<Record<What, number>>>
}

/**
 * Prepares a server for each size, which all stay up, so that they can be measured in alternating rounds like everything
 * else. Names and results show the full sizes; what is prepared is scaled.
 */
export async function measureSizes<Prepared extends AsyncDisposable, What extends string>(
  bench: Bench,
  { sizes, prepare, measure }: SizeTrial<Prepared, What>,
): Promise<SizesMeasured<What>> {
  const servers: OwnRedisServer[] = []
  const all: Prepared[] = []
  try {
    for (const size of sizes) {
      bench.progress.say(`preparing ${sizeName(size)}`)
      const server = await startRedis({ own: true, port: true })
      servers.push(server)
      all.push(await prepare(redisAddress(server), scaled(size, bench)))
    }
    const measured = await alternate(
      bench.rounds,
      Object.fromEntries(sizes.map((size, index) => [sizeName(size), () => measure(all[index]!)])),
      bench.progress.measured,
    )
    const rounds = sizes.map((size) => measured[sizeName(size)] ?? [])
    const whats = Object.keys(rounds[0]?.[0] ?? {}) as What[]
    const costs = whats.map((what) => {
      const of = (some: readonly Readonly<Record<What, number>>[]) => some.map((round) => round[what])
      return [
        what,
        new Map(sizes.map((size, at) => [size, divide(of(rounds[at]!), of(rounds[0]!))])),
      ] as const
    })
    return {
      costs: Object.fromEntries(costs) as unknown as CostsBySize<What>,
      versions: { Redis: await redisVersion(servers[0]!) },
    }
  } finally {
    await Promise.all(all.map((prepared) => prepared[Symbol.asyncDispose]()))
    await Promise.all(servers.map((server) => server.stop()))
  }
}

/** The ratio of each larger size to the smallest. The bar is for the largest. */
export function sizeRatios<What extends string>(
  question: string,
  costs: CostsBySize<What>,
  bars: Readonly<Record<What, Ratio['bar']>>,
): Ratio[] {
  return (Object.entries(costs) as [What, ReadonlyMap<number, readonly number[]>][]).flatMap(
    ([what, bySize]) => {
      const [smallest = 0, ...larger] = bySize.keys()
      const bar = bars[what]
      return larger.map((size) => ({
        name: `${question}/${what}-at-${sizeName(size)}/${sizeName(smallest)}`,
        values: bySize.get(size) ?? [],
        ...(bar && size === larger.at(-1) && { bar }),
      }))
    },
  )
}
