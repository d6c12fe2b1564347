import { connect, startWorker, type Log, type Logger } from '@headwater/core'
import type * as LocalServers from '@headwater/local-servers'
import { changeJson, changeText } from '../change-line.ts'
import { CliError } from '../cli-error.ts'
import type { Config } from '../config.ts'
import { closeGroups, groupsOf } from '../config-groups.ts'
import { environment } from '../environment.ts'
import type { Invocation } from '../invocation.ts'
import { count } from '../output.ts'
import { configOf } from '../settings.ts'
import { stderrLogger } from '../stderr-logger.ts'
import { stopSignal } from '../stop-signal.ts'

export interface DevFlags {
  readonly port?: number
}

/**
 * Starts a Redis that ends with this command, runs the groups of the config on it, and shows the log as it moves, until
 * SIGINT or SIGTERM.
 */
export async function dev({ options, output }: Invocation, { port }: DevFlags): Promise<void> {
  if (options.redis !== undefined) {
    throw new CliError('USAGE', 'dev starts a Redis of its own: leave --redis out, or take run and tail.')
  }
  const stop = stopSignal()
  const { startRedis } = await localServers()
  await using server = await startRedis({ own: true, port: port ?? true })
  // Before the config is loaded: it may look there for the server of its sinks.
  process.env['REDIS_URL'] = server.url
  const config = (await configOf(options)) ?? {}
  const { collections, partitions, deadlineMs, attemptMs } = config
  const namespace = options.namespace ?? (environment('HEADWATER_NAMESPACE') || config.namespace) ?? 'dev'
  await using log = await connect(server.url, { namespace, collections, partitions, deadlineMs, attemptMs })
  await using running = await startGroups(log, config, stderrLogger(output))
  await using feed = log.feedAll()
  await feed.started
  const groups = running ? `groups ${running.groups.join(', ')}` : 'no groups: there is no config with some'
  output.note(`A Redis for now at ${server.url}, namespace ${namespace}, ${groups}.`)
  output.note(`In another terminal: export REDIS_URL=${server.url} HEADWATER_NAMESPACE=${namespace}`)

  stop.addEventListener('abort', () => feed.close(), { once: true })
  if (stop.aborted) feed.close()
  let changes = 0
  for await (const change of feed) {
    changes++
    // With JSON the last line is the result of the whole, so that what is shown goes to stderr.
    if (output.json) output.note(JSON.stringify(changeJson(change)))
    else await output.result({}, () => changeText(output, change))
  }
  const { url } = server
  await output.result({ url, namespace, changes }, () => `${count(changes)} changes; all of it is gone now.`)
}

interface RunningGroups extends AsyncDisposable {
  readonly groups: readonly string[]
}

async function startGroups(log: Log, config: Config, logger: Logger): Promise<RunningGroups | undefined> {
  const groups = await groupsOf(config)
  if (!groups) return undefined
  const { leaseMs, drainMs, prefetch, retry, stalledAfterMs, name } = config
  const worker = await startWorker(log, {
    groups,
    leaseMs,
    drainMs,
    prefetch,
    retry,
    stalledAfterMs,
    name,
    logger,
  })
  return {
    groups: Object.keys(groups),
    async [Symbol.asyncDispose]() {
      await worker.stop()
      await closeGroups(groups)
    },
  }
}

async function localServers(): Promise<typeof LocalServers> {
  try {
    return await import('@headwater/local-servers')
  } catch (cause) {
    throw new CliError('USAGE', 'dev needs a package more: npm install --save-dev @headwater/local-servers', {
      cause,
    })
  }
}
