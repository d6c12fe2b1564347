import { HeadwaterError } from '@headwater/core'

/** How far what is applied lies behind what was received. */
export class CaptureLag {
  readonly #received: () => number
  readonly #applied: () => number | undefined
  #caughtUpAt = performance.now()

  constructor(received: () => number, applied: () => number | undefined) {
    this.#received = received
    this.#applied = applied
  }

  status(): CaptureStatus {
    const receivedOffset = this.#received()
    const appliedOffset = this.#applied()
    const lagBytes = appliedOffset === undefined ? 0 : Math.max(0, receivedOffset - appliedOffset)
    if (appliedOffset !== undefined && lagBytes === 0) this.#caughtUpAt = performance.now()
    const lagSeconds = (performance.now() - this.#caughtUpAt) / 1_000
    return { receivedOffset, appliedOffset, lagBytes, lagSeconds }
  }
}

/** How far a capture is. */
export interface CaptureStatus {
  /** Up to where the source's stream has arrived here. */
  readonly receivedOffset: number
  /** Up to where the target has it; undefined during a full copy. */
  readonly appliedOffset: number | undefined
  /** Received, and not applied. */
  readonly lagBytes: number
  /** Since everything received was last applied. */
  readonly lagSeconds: number
}

/** Settles when a replay has reached an offset. @throws HeadwaterError CLOSED, and what the capture failed with */
export async function reaches(
  replay: { readonly offset: number | undefined; readonly moved: Promise<void> },
  offset: number,
  done: Promise<void>,
): Promise<void> {
  while ((replay.offset ?? -1) < offset) {
    const ended = await Promise.race([replay.moved.then(() => false), done.then(() => true)])
    if (ended) throw new HeadwaterError('CLOSED', 'The capture was stopped before it had caught up.')
  }
}
