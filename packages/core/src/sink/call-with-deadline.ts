import { HeadwaterError } from '../errors/headwater-error.ts'

export interface DeadlineOptions<T> {
  /** What is called, for the error's message. */
  readonly name: string
  readonly timeoutMs: number
  /** Passed on to the call, which is trusted to end early; only the deadline ends it for us. */
  readonly signal: AbortSignal | undefined
  /** Told when the deadline has passed, with the call that is still running. */
  readonly late: (running: Promise<T>) => void
}

/**
 * Waits for a call until its deadline. Then its signal is aborted and it is left behind: nobody can know what it
 * still does.
 *
 * @throws HeadwaterError SINK_UNAVAILABLE at the deadline
 */
export async function callWithDeadline<T>(
  call: (signal: AbortSignal) => Promise<T>,
  { name, timeoutMs, signal, late }: DeadlineOptions<T>,
): Promise<T> {
  const controller = new AbortController()
  const abort = () => controller.abort(signal?.reason)
  if (signal?.aborted) abort()
  signal?.addEventListener('abort', abort, { once: true })
  // The wrapper makes a rejection of what a naive adapter throws at once.
  const running = (async () => call(controller.signal))()
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const error = new HeadwaterError('SINK_UNAVAILABLE', `${name} did not answer within ${timeoutMs} ms.`)
      reject(error)
      late(running)
      controller.abort(error)
    }, timeoutMs)
  })
  try {
    return await Promise.race([running, deadline])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}
