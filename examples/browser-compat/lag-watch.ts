import type { Log } from '@headwater/core'

const everyMs = 250

/** Looks again and again how far each group is behind. */
export class LagWatch implements Disposable {
  #behind = new Map<string, number>()
  readonly #log: Log
  readonly #timer: NodeJS.Timeout

  constructor(log: Log) {
    this.#log = log
    this.#timer = setInterval(() => void this.#look(), everyMs)
  }

  /** Such as `cache 120 behind, reporting 1,804 behind`. */
  get text(): string {
    return Array.from(this.#behind, ([group, lag]) => `${group} ${lag.toLocaleString('en-US')} behind`).join(
      ', ',
    )
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    const behind = new Map<string, number>()
    for (const { group, lag } of await this.#log.groups()) behind.set(group, (behind.get(group) ?? 0) + lag)
    this.#behind = behind
  }
}
