import type { Output } from './output.ts'

/** What every command takes. */
export interface GlobalOptions {
  readonly redis?: string
  readonly namespace?: string
  /** A path, or false for `--no-config`. */
  readonly config?: string | boolean
  readonly json?: boolean
}

/** One call of the program. */
export interface Invocation {
  readonly options: GlobalOptions
  readonly output: Output
}
