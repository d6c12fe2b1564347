import { setTimeout as delay } from 'node:timers/promises'
import { LocalServerError } from './local-server-error.ts'

const POLL_MS = 25
const TIMEOUT_MS = 60_000

/** Waits until a state of several servers is reached; a server that cannot be asked has not reached it. */
export async function until(what: string, isReached: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS
  let cause: unknown
  while (performance.now() < deadline) {
    try {
      if (await isReached()) return
    } catch (error) {
      cause = error
    }
    await delay(POLL_MS)
  }
  throw new LocalServerError('NOT_REACHED', `Waited ${TIMEOUT_MS / 1000} seconds in vain until ${what}.`, {
    cause,
  })
}

/** Whether all of a list are in a state. */
export async function every<T>(
  items: readonly T[],
  isReached: (item: T) => Promise<boolean>,
): Promise<boolean> {
  const answers = await Promise.all(items.map(isReached))
  return answers.every(Boolean)
}
