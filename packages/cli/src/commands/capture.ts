import { type CapturedType, type CommandCapture, startCommandCapture } from '@headwater/redis'
import { callerPath } from '../caller-path.ts'
import { tellNews } from '../capture-news.ts'
import { CliError } from '../cli-error.ts'
import type { Invocation } from '../invocation.ts'
import { count, duration, type Output } from '../output.ts'
import { stopSignal } from '../stop-signal.ts'

export interface CaptureOptions {
  readonly from?: string
  readonly to?: string
  readonly mode: 'commands' | 'state'
  readonly name?: string
  readonly spool?: string
  readonly replace?: boolean
  readonly once?: boolean
  /** With mode commands: patterns of keys, databases and types. */
  readonly keys?: readonly string[]
  readonly database?: readonly number[]
  readonly type?: readonly string[]
}

const showEveryMs = 1_000

/** Copies a Redis into another and follows it, until SIGINT or SIGTERM; with `once`, until it has caught up. */
export async function capture({ output }: Invocation, options: CaptureOptions): Promise<void> {
  const { from, to, mode, name, spool, replace, once = false, keys, database: databases, type } = options
  if (from === undefined || to === undefined) {
    throw new CliError('USAGE', 'From which Redis into which? Give --from <url> and --to <url>.')
  }
  // One that there is not is refused by the capture, with those that there are.
  const types = type as readonly CapturedType[] | undefined
  const only = { ...(keys && { keys }), ...(databases && { databases }), ...(types && { types }) }
  const startedAt = performance.now()
  const stop = stopSignal()
  let copies = 0
  await using running = await startCommandCapture({
    from,
    to,
    name,
    replace,
    ...((keys || databases || types) && { only }),
    spool: spool === undefined ? undefined : callerPath(spool),
    onEvent: (event) => {
      if (event.kind === 'copied') copies++
      tellNews(output, event)
    },
  })
  const showing = setInterval(() => showLag(output, running), showEveryMs)
  try {
    const stopped = new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve()))
    const offset = await Promise.race([once ? running.caughtUp() : running.done, stopped])
    const isComplete = once && !stop.aborted
    if (isComplete) await running.release()
    else await running.stop()
    const seconds = Math.round(performance.now() - startedAt) / 1_000
    const reached = offset ?? running.status().appliedOffset ?? null
    await output.result({ mode, offset: reached, fullCopies: copies, released: isComplete, seconds }, () =>
      isComplete
        ? `Copied up to offset ${reached} of the source in ${duration(seconds)}; the target is on its own now.`
        : `Stopped at offset ${reached} after ${duration(seconds)}; the next capture goes on from there.`,
    )
  } finally {
    clearInterval(showing)
  }
}

function showLag(output: Output, running: CommandCapture): void {
  const { appliedOffset, lagBytes, lagSeconds } = running.status()
  if (appliedOffset === undefined) return
  output.progress(() => `following: ${count(lagBytes)} bytes, ${duration(lagSeconds)} behind`)
}
