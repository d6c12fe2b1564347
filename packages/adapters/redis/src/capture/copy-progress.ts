import type { CaptureEvent } from './capture-event.ts'

const TELL_EVERY_MS = 500

/** Tells now and then how far a full copy is. */
export class CopyProgress {
  readonly #step: 'receiving' | 'applying'
  readonly #totalBytes: number | undefined
  readonly #onEvent: (event: CaptureEvent) => void
  readonly #startedAt = performance.now()
  #toldAt = this.#startedAt
  #bytes = 0

  constructor(
    step: 'receiving' | 'applying',
    totalBytes: number | undefined,
    onEvent: (event: CaptureEvent) => void,
  ) {
    this.#step = step
    this.#totalBytes = totalBytes
    this.#onEvent = onEvent
  }

  add(bytes: number): void {
    this.#bytes += bytes
    const now = performance.now()
    if (now - this.#toldAt < TELL_EVERY_MS) return
    this.#toldAt = now
    const totalBytes = this.#totalBytes
    const etaSeconds =
      totalBytes === undefined
        ? undefined
        : ((totalBytes - this.#bytes) * (now - this.#startedAt)) / this.#bytes / 1_000
    this.#onEvent({ kind: 'copying', step: this.#step, bytes: this.#bytes, totalBytes, etaSeconds })
  }
}
