import { count, duration } from './output.ts'

/** A record that is not in the log, and why. */
export interface FailedRecord {
  readonly line: number
  readonly code: string
  readonly message: string
}

/** So many failed records stand in the result; each of them is told when it is met. */
const failuresMax = 100

/** What became of the records of an import. */
export class ImportTally {
  readonly #startedAt = performance.now()
  readonly #failures: FailedRecord[] = []
  #failed = 0
  #appended = 0
  #duplicates = 0
  #unconfirmed = 0
  #records = 0
  #bytes = 0

  get failed(): number {
    return this.#failed
  }

  read(bytes: number): void {
    this.#records++
    this.#bytes += bytes
  }

  appended(duplicate: boolean): void {
    this.#appended++
    if (duplicate) this.#duplicates++
  }

  fail(failure: FailedRecord): void {
    this.#failed++
    if (this.#failures.length < failuresMax) this.#failures.push(failure)
  }

  /** Redis did not answer for a record: it may or may not be in the log. */
  unconfirmed(): void {
    this.#unconfirmed++
  }

  /** Of the bytes that are read; undefined where it is not known. */
  share(bytesInAll: number | undefined): number | undefined {
    if (bytesInAll === undefined || this.#bytes === 0) return undefined
    return Math.min(1, this.#bytes / bytesInAll)
  }

  /** @param bytesInAll where it is known */
  progress(bytesInAll: number | undefined): string {
    const { seconds, perSecond } = this.#speed()
    const told = [`${count(this.#appended)} records`, `${count(perSecond)}/s`]
    if (this.#failed > 0) told.push(`${count(this.#failed)} failed`)
    const done = this.share(bytesInAll)
    if (done !== undefined) {
      told.push(`${Math.floor(done * 100)} %`, `${duration((seconds * (1 - done)) / done)} left`)
    }
    return told.join(', ')
  }

  result(): object {
    return {
      records: this.#records,
      appended: this.#appended,
      duplicates: this.#duplicates,
      failed: this.#failed,
      unconfirmed: this.#unconfirmed,
      ...this.#speed(),
      failures: this.#failures,
    }
  }

  summary(collection: string): string {
    const { seconds, perSecond } = this.#speed()
    const told = [
      `Imported ${count(this.#appended)} of ${count(this.#records)} records into ${collection} in ${duration(seconds)} (${count(perSecond)}/s)`,
    ]
    if (this.#duplicates > 0) told.push(`${count(this.#duplicates)} were there already`)
    if (this.#failed > 0) told.push(`${count(this.#failed)} failed`)
    if (this.#unconfirmed > 0) told.push(`${count(this.#unconfirmed)} unconfirmed`)
    return `${told.join('; ')}.`
  }

  #speed(): { seconds: number; perSecond: number } {
    const seconds = (performance.now() - this.#startedAt) / 1_000
    return {
      seconds: Math.round(seconds * 1_000) / 1_000,
      perSecond: Math.round(this.#appended / Math.max(seconds, 0.001)),
    }
  }
}
