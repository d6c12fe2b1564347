import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The most memory that a process held, in MB, looked at every 100 ms. */
export class PeakMemory implements Disposable {
  #peakKb = 0
  readonly #looking: NodeJS.Timeout

  constructor({ pid }: ChildProcess) {
    this.#looking = setInterval(() => {
      const [, kb = '0'] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
      this.#peakKb = Math.max(this.#peakKb, Number(kb))
    }, 100)
  }

  get mb(): number {
    return this.#peakKb / 1_024
  }

  [Symbol.dispose](): void {
    clearInterval(this.#looking)
  }
}
