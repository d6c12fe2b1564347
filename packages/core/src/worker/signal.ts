/** Lets loops of one partition wait for each other: whoever changes something notifies, whoever waits looks again. */
export class Signal {
  #wake: (() => void) | undefined
  #waiting: Promise<void> | undefined

  notify(): void {
    this.#wake?.()
  }

  /** Settles at the next `notify`, or after `ms`. */
  async wait(ms?: number): Promise<void> {
    this.#waiting ??= new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined
        this.#waiting = undefined
        resolve()
      }
    })
    if (ms === undefined) return await this.#waiting
    let timer: NodeJS.Timeout | undefined
    try {
      await Promise.race([this.#waiting, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))])
    } finally {
      clearTimeout(timer)
    }
  }
}
