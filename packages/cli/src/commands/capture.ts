import { type CaptureEvent, type CommandCapture, startCommandCapture } from '@headwater/redis'
import { callerPath } from '../caller-path.ts'
import type { Invocation } from '../invocation.ts'
import { count, duration, type Output } from '../output.ts'
import { stopSignal } from '../stop-signal.ts'

export interface CaptureOptions {
  readonly from: string
  readonly to: string
  readonly mode: 'commands'
  readonly name?: string
  readonly spool?: string
  readonly replace?: boolean
  readonly once?: boolean
}

const showEveryMs = 1_000

/** Copies a Redis into another and follows it, until SIGINT or SIGTERM; with `once`, until it has caught up. */
export async function capture({ output }: Invocation, options: CaptureOptions): Promise<void> {
  const { from, to, mode, name, spool, replace, once = false } = options
  const startedAt = performance.now()
  const stop = stopSignal()
  let copies = 0
  await using running = await startCommandCapture({
    from,
    to,
    name,
    replace,
    spool: spool === undefined ? undefined : callerPath(spool),
    onEvent: (event) => {
      if (event.kind === 'copied') copies++
      tell(output, event)
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

function tell(output: Output, event: CaptureEvent): void {
  switch (event.kind) {
    case 'copying': {
      const { step, bytes, totalBytes, etaSeconds } = event
      const total = totalBytes === undefined ? '' : ` of ${count(totalBytes)}`
      const left = etaSeconds === undefined ? '' : `, about ${duration(etaSeconds)} left`
      output.progress(() => `${step} the dump: ${count(bytes)}${total} bytes${left}`)
      break
    }
    case 'attached':
      output.note(`The source continues where the target is, at offset ${event.offset}.`)
      break
    case 'full-copy':
      output.note(
        event.reason === 'first'
          ? 'Everything is copied.'
          : 'The source cannot continue where the target is: everything is copied again.',
      )
      break
    case 'copied':
      output.note(`${count(event.keys)} keys were copied in ${duration(event.seconds)}.`)
      break
    case 'history-renamed':
      output.note('The source failed over, and goes on without a new copy.')
      break
    case 'retrying':
      output.note(`The ${event.side} cannot be used right now, and is tried again: ${event.error.message}`)
      break
    case 'target-went-back':
      output.note('The target lost what it had taken: it is applied again.')
  }
}
