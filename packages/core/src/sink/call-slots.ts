/** Lets a number of calls run at the same time; the others wait for their turn, first come, first served. */
export class CallSlots {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await call()
    } finally {
      // A slot goes straight to the next in line, so that nobody who comes later slips in between.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}
