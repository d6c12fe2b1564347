import { measureSending, measureThroughput, type Throughput } from '../src/measure-system.ts'
import { packageVersions } from '../src/package-versions.ts'
import { scaled, type Question } from '../src/question.ts'
import { alternate, divide } from '../src/rounds.ts'
import { startServers } from '../src/servers.ts'
import type { System } from '../src/system.ts'
import { system as headwater } from '../systems/headwater.ts'
import { system as ioredisPipeline } from '../systems/ioredis-pipeline.ts'
import { system as plainLoop } from '../systems/plain-loop.ts'
import { system as pubSub } from '../systems/pub-sub.ts'
import { system as rawXadd } from '../systems/raw-xadd.ts'
import { system as redisReplica } from '../systems/redis-replica.ts'

const systems = [headwater, plainLoop, pubSub, redisReplica, rawXadd, ioredisPipeline]

export const sync: Question = {
  name: 'sync',
  asks: 'How fast does a change get from append() to a second Redis, applied and acknowledged, against what Redis has itself?',
  async answer(bench) {
    await using servers = await startServers(systems.flatMap(({ needs }) => needs))
    const load = (system: System) => ({ messages: scaled(system.messages, bench), bytes: 100 })
    const carry = (system: System) => () => measureThroughput(system, servers.addresses, load(system))
    const onlySend = (system: System) => async (): Promise<Throughput> => ({
      flow: await measureSending(system, servers.addresses, load(system)),
      backlog: undefined,
    })
    const rates = await alternate(
      bench.rounds,
      {
        headwater: carry(headwater),
        'plain-loop': carry(plainLoop),
        'pub-sub': carry(pubSub),
        'redis-replica': carry(redisReplica),
        'raw-xadd': onlySend(rawXadd),
        'ioredis-pipeline': onlySend(ioredisPipeline),
      },
      bench.progress.measured,
    )
    const against = (name: keyof typeof rates, phase: keyof Throughput): number[] => {
      const phases = (measured: readonly Throughput[]) => measured.map((one) => one[phase] ?? NaN)
      return divide(phases(rates.headwater), phases(rates[name]))
    }
    return {
      ratios: [
        { name: 'sync/flow/plain-loop', bar: { atLeast: 1.3 }, values: against('plain-loop', 'flow') },
        { name: 'sync/backlog/plain-loop', bar: { atLeast: 1.3 }, values: against('plain-loop', 'backlog') },
        { name: 'sync/flow/pub-sub', bar: { atLeast: 1.3 }, values: against('pub-sub', 'flow') },
        { name: 'sync/flow/redis-replica', values: against('redis-replica', 'flow') },
        {
          name: 'sync/backlog/redis-replica',
          bar: { atLeast: 0.5 },
          values: against('redis-replica', 'backlog'),
        },
        { name: 'sync/flow/raw-xadd', values: against('raw-xadd', 'flow') },
        { name: 'sync/flow/ioredis-pipeline', values: against('ioredis-pipeline', 'flow') },
      ],
      contenders: [
        '`flow`: producer and consumer work side by side, a process each, until the last change is acknowledged; `backlog`: the consumer works off what is there already; JSON of 100 bytes',
        ...systems.map(({ name, settings }) => `\`${name}\`: ${settings}`),
        '`raw-xadd` and `ioredis-pipeline` only send',
      ],
      versions: { ...servers.versions, ...packageVersions(systems) },
    }
  },
}
