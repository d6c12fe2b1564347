import { execFileSync } from 'node:child_process'
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The wall clock of a process, to be put wrong while it runs: a library that is loaded before the C library's own reads the
 * offset from a file. libfaketime does the same, but Debian's Redis does not come up with it.
 */
export class Clock {
  readonly #library: string
  readonly #file: string
  readonly #descriptor: number

  private constructor(library: string, file: string) {
    this.#library = library
    this.#file = file
    this.#descriptor = openSync(file, 'w')
    this.step(0)
  }

  /** Undefined where there is no C compiler to make it. */
  static make(folder: string): Clock | undefined {
    const source = fileURLToPath(new URL('skewed-clock.c', import.meta.url))
    const library = join(folder, 'skewed-clock.so')
    try {
      execFileSync('cc', ['-O2', '-shared', '-fPIC', '-o', library, source], { stdio: 'ignore' })
    } catch {
      return undefined
    }
    return new Clock(library, join(folder, 'clock'))
  }

  /** For `env`, before a program that is to have this clock. */
  get settings(): readonly string[] {
    return [`LD_PRELOAD=${this.#library}`, `SKEW_FILE=${this.#file}`]
  }

  /** Sets the clock this far ahead of the true one. */
  step(aheadMs: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(aheadMs) * 1_000n)
    writeSync(this.#descriptor, bytes, 0, 8, 0)
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}
