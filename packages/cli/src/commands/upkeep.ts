import { connect } from '@headwater/core'
import { CliError } from '../cli-error.ts'
import { closeGroups, groupsOf } from '../config-groups.ts'
import type { Invocation } from '../invocation.ts'
import { duration } from '../output.ts'
import { configOf, settingsOf } from '../settings.ts'
import { stderrLogger } from '../stderr-logger.ts'
import { reasonOf, stopSignal } from '../stop-signal.ts'

/** Keeps the upkeep of a config running until SIGINT or SIGTERM. */
export async function upkeep({ options, output }: Invocation, path: string | undefined): Promise<void> {
  const startedAt = performance.now()
  const stop = stopSignal()
  const config = await configOf(path === undefined ? options : { ...options, config: path })
  if (!config?.upkeep) {
    throw new CliError(
      'USAGE',
      'Which upkeep? Give the path of a config file with `upkeep: (log, opened) => startUpkeep(log, …)`, or call this where it is.',
    )
  }
  const { redis, namespace, archive } = await settingsOf(options, config)
  const { collections, deadlineMs, attemptMs, idempotencyWindowMs } = config
  const logger = stderrLogger(output)
  const connecting = { collections, archive, deadlineMs, attemptMs, idempotencyWindowMs }
  await using log = await connect(redis, { namespace, create: false, ...connecting })
  const groups = (await groupsOf(config)) ?? {}
  const running = await config.upkeep(log, { groups, archive, logger })
  logger.info({ namespace }, 'upkeep started')

  const signal = await reasonOf(stop)
  logger.info({ signal }, 'stopping')
  await running.stop()
  await closeGroups(groups)
  const seconds = Math.round(performance.now() - startedAt) / 1_000
  await output.result({ namespace, signal, seconds }, () => `Upkeep stopped after ${duration(seconds)}.`)
}
