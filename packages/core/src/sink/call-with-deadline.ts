import { HeadwaterError } from '../errors/headwater-error.ts'

export interface DeadlineOptions<T> {
  /** What is called, for the error's message. */
  readonly name: string
  readonly timeoutMs: number
  /** Passed on to the call, which is given a moment to end; then it is left as at the deadline. */
  readonly signal: AbortSignal | undefined
  /** Told when the call is left behind, with the call that is still running. */
  readonly late: (running: Promise<T>) => void
}

/** A worker that stops, or has lost its lease, does not wait out the deadline of a sink that hangs. */
const calledOffMs = 250

/**
 * Waits for a call until its deadline, or until its signal has called it off. Then it is left behind: nobody can know
 * what it still does.
 *
 * @throws HeadwaterError SINK_UNAVAILABLE when it is left behind
 */
export async function callWithDeadline<T>(
  call: (signal: AbortSignal) => Promise<T>,
  { name, timeoutMs, signal, late }: DeadlineOptions<T>,
): Promise<T> {
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let leave!: (message: string) => void
  const left = new Promise<never>((_resolve, reject) => {
    leave = (message) => {
      const error = new HeadwaterError('SINK_UNAVAILABLE', message)
      reject(error)
      late(running)
      controller.abort(error)
    }
  })
  const leaveIn = (ms: number, message: string): void => {
    clearTimeout(timer)
    timer = setTimeout(leave, ms, message)
  }
  const callOff = (): void => {
    controller.abort(signal?.reason)
    leaveIn(
      Math.min(calledOffMs, timeoutMs),
      `${name} was called off, and did not end within ${calledOffMs} ms.`,
    )
  }
  leaveIn(timeoutMs, `${name} did not answer within ${timeoutMs} ms.`)
  if (signal?.aborted) callOff()
  signal?.addEventListener('abort', callOff, { once: true })
  // The wrapper makes a rejection of what a naive adapter throws at once.
  const running = (async () => call(controller.signal))()
  try {
    return await Promise.race([running, left])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', callOff)
  }
}
