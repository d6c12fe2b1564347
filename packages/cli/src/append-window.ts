/**
 * How much may be on its way at once. More of it makes larger batches, and costs memory when Redis is slower than the
 * source.
 */
const max = { count: 5_000, bytes: 16_777_216 }

/** Appends that are on their way: many, but not endlessly many. */
export class AppendWindow {
  #count = 0
  #bytes = 0
  #wake: (() => void) | undefined

  /** Takes a promise that never rejects. */
  add(bytes: number, settled: Promise<void>): void {
    this.#count++
    this.#bytes += bytes
    void settled.then(() => {
      this.#count--
      this.#bytes -= bytes
      this.#wake?.()
    })
  }

  /** Settles when there is room for one more. */
  async room(): Promise<void> {
    while (this.#count >= max.count || this.#bytes >= max.bytes) await this.#change()
  }

  /** Settles when nothing is on its way any more. */
  async empty(): Promise<void> {
    while (this.#count > 0) await this.#change()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve))
  }
}
