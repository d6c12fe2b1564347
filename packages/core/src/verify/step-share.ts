/**
 * Which share is done of work in steps of which it only shows on the way how many there are: each is taken to be an equal part
 * of what is left when it begins, so the share never goes back.
 */
export class StepShare {
  readonly #tell: (share: number) => void
  #before = 0
  #step = 0

  constructor(tell: (share: number) => void) {
    this.#tell = tell
  }

  /**
   * The step before is done, and the next one begins.
   *
   * @param left steps, with this one
   */
  begin(left: number): void {
    this.#before += this.#step
    this.#step = (1 - this.#before) / left
    this.#tell(this.#before)
  }

  /** @param part of the present step, from 0 to 1 */
  within(part: number): void {
    this.#tell(this.#before + this.#step * Math.min(1, part))
  }
}
