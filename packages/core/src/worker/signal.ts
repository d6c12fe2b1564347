/** Lets loops of one partition wait for each other: whoever changes something notifies, whoever waits looks again. */
export class Signal {
  #wake: (() => void) | undefined
  #waiting: Promise<void> | undefined

  notify(): void {
    this.#wake?.()
  }

  /** Settles at the next `notify`, or after `ms`. */
  wait(ms?: number): Promise<void> {
    this.#waiting ??= new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined
        this.#waiting = undefined
        resolve()
      }
    })
    const waiting = this.#waiting
    if (ms === undefined) return waiting
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      void waiting.then(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}
