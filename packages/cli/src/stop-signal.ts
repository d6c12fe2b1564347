import { constants } from 'node:os'

const names = ['SIGINT', 'SIGTERM'] as const
export type StopReason = (typeof names)[number]

/** The first SIGINT or SIGTERM aborts, with its name as the reason; a second one ends the process at once. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController()
  for (const name of names) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(exitCodeOf(name))
      controller.abort(name)
    })
  }
  return controller.signal
}

/** Settles with the name of the signal that asks to stop. */
export function reasonOf(signal: AbortSignal): Promise<StopReason> {
  return new Promise((resolve) => {
    const stopped = (): void => resolve(signal.reason as StopReason)
    if (signal.aborted) stopped()
    else signal.addEventListener('abort', stopped, { once: true })
  })
}

/** As shells count: 130 after SIGINT, 143 after SIGTERM. */
export function exitCodeOf(reason: StopReason): number {
  return 128 + constants.signals[reason]
}
