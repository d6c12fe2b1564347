import type { Job } from 'bullmq'

const everyMs = 1_000

/** Tells a job how far it is, at most once a second and one after the other; percent, as boards draw it. */
export class Progress {
  readonly #job: Job
  readonly #onError: (error: Error) => void
  #percent = 0
  #toldAt = Number.NEGATIVE_INFINITY
  #telling: Promise<void> | undefined

  constructor(job: Job, onError: (error: Error) => void) {
    this.#job = job
    this.#onError = onError
  }

  /** @param share of the work that is done, from 0 to 1 */
  tell(share: number): void {
    this.#percent = Math.min(100, Math.floor(share * 100))
    if (this.#telling === undefined && performance.now() - this.#toldAt >= everyMs) this.#tell()
  }

  /** Resolves when nothing is on its way any more, so that nothing is told of a job that has ended. */
  async end({ whole }: { readonly whole: boolean }): Promise<void> {
    await this.#telling
    if (whole) await this.#job.updateProgress(100).catch(this.#onError)
  }

  #tell(): void {
    this.#toldAt = performance.now()
    this.#telling = this.#job
      .updateProgress(this.#percent)
      .catch(this.#onError)
      .finally(() => (this.#telling = undefined))
  }
}
