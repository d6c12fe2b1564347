/** Counts what arrives, and tells when it is enough. */
export class Arrivals {
  #count = 0
  #waiting: { readonly count: number; readonly reached: () => void } | undefined

  add(count: number): void {
    this.#count += count
    if (this.#waiting !== undefined && this.#count >= this.#waiting.count) this.#waiting.reached()
  }

  /** Settles when so many have arrived in all. */
  async reach(count: number): Promise<void> {
    if (this.#count >= count) return
    await new Promise<void>((resolve) => (this.#waiting = { count, reached: resolve }))
    this.#waiting = undefined
  }
}
