import { measureSending } from '../src/measure-system.ts'
import { packageVersions } from '../src/package-versions.ts'
import { scaled, type Question } from '../src/question.ts'
import { alternate, divide } from '../src/rounds.ts'
import { startServers } from '../src/servers.ts'
import type { Sending, System } from '../src/system.ts'
import { system as headwater } from '../systems/headwater.ts'
import { system as ioredisPipeline } from '../systems/ioredis-pipeline.ts'
import { system as rawXadd } from '../systems/raw-xadd.ts'

export const appendCall: Question = {
  name: 'append-call',
  asks: 'How fast is append() as users call it, from one process?',
  async answer(bench) {
    await using servers = await startServers(['redis', 'replica'])
    const measure = (system: System, messages: number, sending?: Sending) => () =>
      measureSending(system, servers.addresses, { messages: scaled(messages, bench), bytes: 100 }, sending)
    const rates = await alternate(
      bench.rounds,
      {
        'headwater-64': measure(headwater, 50_000, { together: 1, inFlight: 64 }),
        'headwater-500': measure(headwater, 200_000, { together: 1, inFlight: 500 }),
        'raw-xadd': measure(rawXadd, 400_000),
        'ioredis-pipeline': measure(ioredisPipeline, 200_000),
      },
      bench.progress.measured,
    )
    return {
      ratios: [
        {
          name: 'append-call/500-in-flight/raw-xadd',
          bar: { atLeast: 0.35 },
          values: divide(rates['headwater-500'], rates['raw-xadd']),
        },
        {
          name: 'append-call/500-in-flight/ioredis-pipeline',
          bar: { atLeast: 1.3 },
          values: divide(rates['headwater-500'], rates['ioredis-pipeline']),
        },
        {
          name: 'append-call/64-in-flight/raw-xadd',
          values: divide(rates['headwater-64'], rates['raw-xadd']),
        },
        {
          name: 'append-call/64-in-flight/ioredis-pipeline',
          values: divide(rates['headwater-64'], rates['ioredis-pipeline']),
        },
      ],
      contenders: [
        'headwater: products validated by zod, appended one by one and each awaited by its own caller, 64 or 500 callers; default options, so 8 partitions and values beside the log; JSON of 100 bytes',
        ...[rawXadd, ioredisPipeline].map(({ name, settings }) => `${name}: ${settings}`),
      ],
      versions: { ...servers.versions, ...packageVersions([rawXadd, ioredisPipeline]) },
    }
  },
}
