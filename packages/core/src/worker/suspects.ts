/**
 * Which keys fail by themselves. A sink that is away fails for every key, so a failure counts against a key only when the sink
 * took others in the same call, or when the key went alone and the sink has taken others since it failed alone before. Failures
 * count by key, whatever newer changes of it come, until one of them is taken. Pure.
 */
export class Suspects {
  readonly #failuresMax: number
  readonly #failures = new Map<string, number>()
  /** Keys that failed alone: how many calls the sink had taken something of until then. */
  readonly #alone = new Map<string, number>()
  #takenCalls = 0

  /** @param failuresMax so many failures, and a key has had its chance */
  constructor(failuresMax: number) {
    this.#failuresMax = failuresMax
  }

  /** Nobody is under suspicion. */
  get none(): boolean {
    return this.#failures.size === 0 && this.#alone.size === 0
  }

  /** The sink has taken this key, in a call that it worked for. */
  taken(key: string): void {
    this.#failures.delete(key)
    this.#alone.delete(key)
  }

  /** The sink has worked for a call. */
  worked(): void {
    this.#takenCalls++
  }

  /** Whether a key is to go in a call of its own, so that it fails nobody else. */
  has(key: string): boolean {
    return this.#alone.has(key)
  }

  /** The key failed by its own doing. Whether it has had its chance. */
  failed(key: string): boolean {
    const failures = (this.#failures.get(key) ?? 0) + 1
    this.#failures.set(key, failures)
    return failures >= this.#failuresMax
  }

  /** A call failed that held this key alone: whether that is the key's own doing. */
  isOwn(key: string): boolean {
    const before = this.#alone.get(key)
    this.#alone.set(key, this.#takenCalls)
    return before !== undefined && this.#takenCalls > before
  }
}
