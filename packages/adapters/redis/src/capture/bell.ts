/** Wakes everybody who waits for something to change. */
export class Bell {
  #ring!: () => void
  #next!: Promise<void>

  constructor() {
    this.#renew()
  }

  /** Settles at the next ring. Take it before looking whether there is anything to wait for. */
  get next(): Promise<void> {
    return this.#next
  }

  ring(): void {
    const ring = this.#ring
    this.#renew()
    ring()
  }

  #renew(): void {
    this.#next = new Promise((resolve) => (this.#ring = resolve))
  }
}
