import { connect } from '@headwater/core'
import { Appender } from '../../packages/core/src/append/appender.ts'
import { Lanes } from '../../packages/core/src/append/lanes.ts'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { StateReader } from '../../packages/core/src/state/state-reader.ts'
import { AppendTelemetry } from '../../packages/core/src/telemetry/append-telemetry.ts'
import { emptyRedis } from '../src/empty-redis.ts'
import { makeProduct, productKeys, products, type Product } from '../src/product.ts'
import { scaled, type Question } from '../src/question.ts'
import { measureConsumerCpu } from '../src/measure-system.ts'
import type { RedisAddress } from '../src/raw-client.ts'
import { alternate, divide } from '../src/rounds.ts'
import { startServers } from '../src/servers.ts'
import type { System } from '../src/system.ts'
import { system as nowhere } from '../systems/headwater-nowhere.ts'
import { system as unobserved } from '../systems/headwater-unobserved.ts'

const callers = 500

export const telemetry: Question = {
  name: 'telemetry',
  asks: 'What do spans and metrics cost appends and workers where no SDK is registered?',
  async answer(bench) {
    await using servers = await startServers(['redis'])
    const changes = Array.from({ length: scaled(100_000, bench) }, (_, index) =>
      makeProduct(index % productKeys, 100),
    )
    const measure = (observed: boolean) => () => appendCpu(servers.addresses.redis, observed, changes)
    // Once before it counts, until the code is compiled.
    await measure(true)()
    await measure(false)()
    const cpu = await alternate(
      bench.rounds,
      { unobserved: measure(false), observed: measure(true) },
      bench.progress.measured,
    )
    const load = { messages: scaled(200_000, bench), bytes: 100 }
    const measureWorker = (system: System) => () => measureConsumerCpu(system, servers.addresses, load)
    const ofWorker = await alternate(
      bench.rounds,
      { unobserved: measureWorker(unobserved), observed: measureWorker(nowhere) },
      bench.progress.measured,
    )
    return {
      ratios: [
        {
          name: 'telemetry/append-without-sdk/unobserved',
          bar: { atMost: 1.1 },
          values: divide(cpu.observed, cpu.unobserved),
        },
        {
          name: 'telemetry/worker-without-sdk/unobserved',
          bar: { atMost: 1.1 },
          values: divide(ofWorker.observed, ofWorker.unobserved),
        },
      ],
      contenders: [
        `CPU time of the process that appends, for each change; ${callers} callers, 100 bytes`,
        'CPU time of a worker process while it works off a backlog, for each change; a sink that does nothing, 100 bytes',
        '`append-without-sdk`, `worker-without-sdk`: as applications have it, with the OpenTelemetry API and nothing registered',
        '`unobserved`: the same without the code that makes spans and metrics',
      ],
      versions: servers.versions,
    }
  },
}

/** µs of CPU a change. */
async function appendCpu(
  redis: RedisAddress,
  observed: boolean,
  changes: readonly Product[],
): Promise<number> {
  await emptyRedis(redis)
  await using log = await connect({ ...redis }, { namespace: 'bench', collections: [products] })
  const parts = logParts(log)
  const { metadata, hasher, keys, connection, namespace, deadlineMs } = parts
  const router = { hasher, partitions: metadata.partitions, buckets: metadata.buckets }
  const spans = new AppendTelemetry(namespace)
  const appender = new Appender({
    router,
    state: new StateReader(connection, keys, router, deadlineMs),
    target: new Lanes({ ...parts, telemetry: spans }),
    ...(observed && { telemetry: spans }),
    durability: metadata.durability,
    replicas: metadata.replicas,
    deadlineMs,
    checkCollection: () => {},
  })
  const left = changes.values()
  const appendNext = async (): Promise<void> => {
    for (const change of left) await appender.append(products.put(change), {})
  }
  const before = process.cpuUsage()
  await Promise.all(Array.from({ length: callers }, appendNext))
  const { user, system } = process.cpuUsage(before)
  appender.close()
  return (user + system) / changes.length
}
