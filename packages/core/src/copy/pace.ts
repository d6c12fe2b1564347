import { pause } from '../redis/persist.ts'

/** Keeps to a rate, over everybody who shares it. Each waits for its own share, so nothing is saved up for a burst. */
export class Pace {
  readonly #perSecond: number
  #freeAt = 0

  /** @param perSecond `Infinity` for no limit */
  constructor(perSecond: number) {
    this.#perSecond = perSecond
  }

  /** Waits until so many may go. */
  async take(count: number, signal?: AbortSignal): Promise<void> {
    const now = performance.now()
    const waitMs = this.#freeAt - now
    this.#freeAt = Math.max(now, this.#freeAt) + (count / this.#perSecond) * 1_000
    if (waitMs > 0) await pause(waitMs, signal)
  }
}
