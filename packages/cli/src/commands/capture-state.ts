import { connect } from '@headwater/core'
import { startStateCapture, type StateCapture } from '@headwater/redis'
import { callerPath } from '../caller-path.ts'
import { tellNews } from '../capture-news.ts'
import { CliError } from '../cli-error.ts'
import type { Config } from '../config.ts'
import type { Invocation } from '../invocation.ts'
import { count, duration, type Output } from '../output.ts'
import { configOf, settingsOf } from '../settings.ts'
import { stopSignal } from '../stop-signal.ts'
import type { CaptureOptions } from './capture.ts'

const showEveryMs = 1_000

/** Brings keys of a Redis into the log as a config says, until SIGINT or SIGTERM; with `once`, until it has caught up. */
export async function captureState(
  { options: global, output }: Invocation,
  { from, name, spool, once = false, to, replace, keys, database }: CaptureOptions,
): Promise<void> {
  if (to !== undefined || replace || keys || database) {
    throw new CliError(
      'USAGE',
      '--to, --replace, --keys and --database are for --mode commands: mode state goes into the log, as its config says.',
    )
  }
  const startedAt = performance.now()
  const stop = stopSignal()
  const config = await configOf(global)
  if (!config) {
    throw new CliError(
      'USAGE',
      'Which keys become which collection? Give --config <file>, or call this where a headwater.config.ts is.',
    )
  }
  const wishes = await captureOf(config)
  const { redis, namespace } = await settingsOf(global, config)
  const { collections, partitions, durability, replicas, deadlineMs, attemptMs } = config
  await using log = await connect(redis, {
    namespace,
    collections,
    partitions,
    durability,
    replicas,
    deadlineMs,
    attemptMs,
  })
  let copies = 0
  await using running = await startStateCapture(log, {
    ...wishes,
    ...(from !== undefined && { from }),
    ...(name !== undefined && { name }),
    ...(spool !== undefined && { spool: callerPath(spool) }),
    onEvent: (event) => {
      if (event.kind === 'copied') copies++
      tellNews(output, event)
    },
  })
  const showing = setInterval(() => showLag(output, running), showEveryMs)
  try {
    const stopped = new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve()))
    await Promise.race([once ? running.caughtUp() : running.done, stopped])
    const { appliedOffset, rejected } = running.status()
    await running.stop()
    const caughtUp = once && !stop.aborted
    const seconds = Math.round(performance.now() - startedAt) / 1_000
    const offset = appliedOffset ?? null
    const result = { mode: 'state', offset, fullCopies: copies, caughtUp, rejected, seconds }
    await output.result(result, () => {
      const left = rejected.length === 0 ? '' : ` ${rejected.length} values could not enter, see above.`
      return caughtUp
        ? `The log has what the source had, after ${duration(seconds)}.${left}`
        : `Stopped after ${duration(seconds)}; the next capture goes on from there.${left}`
    })
  } finally {
    clearInterval(showing)
  }
}

async function captureOf({ capture }: Config): Promise<Parameters<typeof startStateCapture>[1]> {
  const made = typeof capture === 'function' ? await capture() : capture
  if (made) return made
  throw new CliError('CONFIG_INVALID', 'The config file has no capture, so there is nothing to bring in.')
}

function showLag(output: Output, running: StateCapture): void {
  const { appliedOffset, lagBytes, lagSeconds, rejected } = running.status()
  if (appliedOffset === undefined) return
  const left = rejected.length === 0 ? '' : `, ${rejected.length} values cannot enter`
  output.progress(() => `following: ${count(lagBytes)} bytes, ${duration(lagSeconds)} behind${left}`)
}
