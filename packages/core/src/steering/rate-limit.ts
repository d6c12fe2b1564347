/**
 * A token bucket: lets so many changes a second pass, and a fifth of a second's worth at once after a pause. What is spent
 * beyond that is a debt that is waited for. Pure: told what time it is.
 */
export class RateLimit {
  readonly #now: () => number
  #perSecond: number | undefined
  #tokens = 0
  #at = 0

  /** @param now a clock that only rises, in ms */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** So many a second from now on; undefined: as many as there are. */
  set(perSecond: number | undefined): void {
    if (perSecond === this.#perSecond) return
    this.#perSecond = perSecond
    this.#tokens = 0
    this.#at = this.#now()
  }

  /** How many may pass now. */
  get available(): number {
    if (this.#perSecond === undefined) return Number.POSITIVE_INFINITY
    const now = this.#now()
    const most = Math.max(1, this.#perSecond / 5)
    this.#tokens = Math.min(most, this.#tokens + ((now - this.#at) / 1_000) * this.#perSecond)
    this.#at = now
    return Math.max(0, Math.floor(this.#tokens))
  }

  /** In how many ms the next may pass; 0 when one may now. */
  get waitMs(): number {
    if (this.available >= 1) return 0
    return Math.max(1, Math.ceil(((1 - this.#tokens) / this.#perSecond!) * 1_000))
  }

  spend(count: number): void {
    if (this.#perSecond !== undefined) this.#tokens -= count
  }
}
