import type { Run } from './dispatcher.ts'

/** What is appended to a key that is fed back waits so long at most. */
const holdMs = 1_000

/**
 * Live changes of keys that are being fed back. They wait a little, or a key that changes all the time would never be free
 * of what is parked of it.
 */
export class HeldBack {
  readonly #letGo: (runs: readonly Run[]) => void
  #fields = new Set<string>()
  #until = 0
  #runs: Run[] = []

  /** @param letGo gets the runs that need not wait any longer: they go to the sink, or behind what is still parked */
  constructor(letGo: (runs: readonly Run[]) => void) {
    this.#letGo = letGo
  }

  /** These keys are fed back from now on. */
  begin(fields: readonly string[]): void {
    this.#fields = new Set(fields)
    this.#until = performance.now() + holdMs
    setTimeout(() => this.release(), holdMs).unref()
  }

  /** Holds a run of this key back; false where it need not wait. */
  hold(field: string, run: Run): boolean {
    if (!this.#fields.has(field) || performance.now() >= this.#until) return false
    this.#runs.push(run)
    return true
  }

  /** This key is not fed back any more. */
  end(field: string): void {
    this.#fields.delete(field)
    this.release()
  }

  /** Nothing is. */
  endAll(): void {
    this.#fields.clear()
    this.release()
  }

  release(): void {
    const runs = this.#runs
    this.#runs = []
    if (runs.length > 0) this.#letGo(runs)
  }
}
