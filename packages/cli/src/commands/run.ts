import { setTimeout as pause } from 'node:timers/promises'
import { connect, startWorker, type Log, type Worker } from '@headwater/core'
import { CliError } from '../cli-error.ts'
import { closeGroups, groupsOf, type Groups } from '../config-groups.ts'
import { environment } from '../environment.ts'
import { keepHeapSmall } from '../heap-growth.ts'
import type { Invocation } from '../invocation.ts'
import { duration } from '../output.ts'
import type { ProbeServer } from '../probe-server.ts'
import { configOf, settingsOf } from '../settings.ts'
import { stderrLogger } from '../stderr-logger.ts'
import { reasonOf, stopSignal } from '../stop-signal.ts'

/** What `stop` may take beyond its budget, to hand leases over and close connections, in ms. */
const handOverMs = 5_000

export interface RunFlags {
  /** Where to answer probes: a port, or host:port. Default: nowhere. */
  readonly http?: string
}

/** Runs a worker for the groups of a config until SIGINT or SIGTERM. */
export async function run(
  { options, output }: Invocation,
  path: string | undefined,
  { http }: RunFlags,
): Promise<void> {
  keepHeapSmall()
  const startedAt = performance.now()
  const probes = http === undefined ? undefined : await openProbes(http)
  const stop = stopSignal()
  const config = await configOf(path === undefined ? options : { ...options, config: path })
  if (!config) {
    throw new CliError('USAGE', 'Which config? Give its path, or call this where a headwater.config.ts is.')
  }
  const { redis, namespace } = await settingsOf(options, config)
  const { leaseMs, drainMs = 10_000, stalledAfterMs, prefetch, retry, name } = config
  const { markEveryMs, scrubKeysPerSecond } = config
  const { collections, partitions, durability, replicas, deadlineMs, attemptMs } = config
  const groups = await groupsOf(config)
  if (!groups)
    throw new CliError('CONFIG_INVALID', 'The config file has no groups, so there is nothing to run.')

  const logger = stderrLogger(output)
  const log = await connect(redis, {
    namespace,
    collections,
    partitions,
    durability,
    replicas,
    deadlineMs,
    attemptMs,
  })
  const worker = await startWorker(log, {
    groups,
    leaseMs,
    drainMs,
    stalledAfterMs,
    markEveryMs,
    scrubKeysPerSecond,
    prefetch,
    retry,
    name,
    logger,
  })
  probes?.server.watch(worker)
  logger.info(
    { worker: worker.name, namespace, groups: Object.keys(groups), ...(probes && { http: probes.at }) },
    'started',
  )

  const signal = await reasonOf(stop)
  logger.info({ signal, drainMs }, 'stopping')
  await Promise.race([end(worker, groups, log), overdue(drainMs + handOverMs)])
  probes?.server.close()
  logger.info({}, 'stopped')
  const seconds = Math.round(performance.now() - startedAt) / 1_000
  await output.result({ worker: worker.name, signal, seconds }, () => {
    return `Worker ${worker.name} stopped after ${duration(seconds)}.`
  })
}

/** Loaded only where it is asked for: it brings an SDK that measures. */
async function openProbes(http: string): Promise<{ server: ProbeServer; at: string }> {
  const { ProbeServer, parseProbeAddress } = await import('../probe-server.ts')
  const address = parseProbeAddress(http)
  const server = new ProbeServer(environment('HEADWATER_HTTP_TOKEN'))
  const port = await server.listen(address)
  return { server, at: `${address.host.includes(':') ? `[${address.host}]` : address.host}:${port}` }
}

/** In this order: what is at the sinks is finished before they are closed. The clients that a config made end with us. */
async function end(worker: Worker, groups: Groups, log: Log): Promise<void> {
  await worker.stop()
  await closeGroups(groups)
  await log.close()
}

async function overdue(ms: number): Promise<never> {
  await pause(ms, undefined, { ref: false })
  throw new CliError('DRAIN_TIMEOUT', `The worker had not stopped after ${ms} ms, and was left as it was.`)
}
