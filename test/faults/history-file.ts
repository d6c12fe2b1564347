import { existsSync, openSync, readFileSync, writeSync } from 'node:fs'

/** What a writer is about to append. */
export interface Attempt {
  /** Unique: travels as metadata, and as the content of a put. */
  readonly id: string
  readonly key: string
  readonly kind: 'put' | 'delete'
  readonly expected: string
  /** Whether it carries an idempotency key, which is its id. */
  readonly repeatable: boolean
}

/** What a writer was told of an attempt. */
export type Told =
  | {
      readonly kind: 'stored'
      readonly version: string
      readonly position: string
      readonly duplicate: boolean
    }
  | { readonly kind: 'conflict'; readonly actual: string | undefined }
  /** Certainly not stored. */
  | { readonly kind: 'refused'; readonly code: string; readonly why: string }
  | { readonly kind: 'unknown'; readonly code: string; readonly why: string }

type Line = { readonly began: Attempt } | { readonly id: string; readonly told: Told }

/** Everything that one attempt came to, in the order in which it was told. Nothing: its writer died, or waits still. */
export interface HistoryOfAttempt {
  readonly attempt: Attempt
  readonly told: readonly Told[]
}

/**
 * What one writer tried and was told, line by line in a file of its own: it survives its writer, and nothing of the system
 * under test has a hand in it.
 */
export class HistoryFile {
  readonly #path: string
  #descriptor: number | undefined

  constructor(path: string) {
    this.#path = path
  }

  began(attempt: Attempt): void {
    this.#write({ began: attempt })
  }

  told(id: string, told: Told): void {
    this.#write({ id, told })
  }

  read(): HistoryOfAttempt[] {
    if (!existsSync(this.#path)) return []
    const attempts = new Map<string, { attempt: Attempt; told: Told[] }>()
    const lines = readFileSync(this.#path, 'utf8').split('\n')
    // What stands behind the last line feed was being written when its writer was killed.
    for (const text of lines.slice(0, -1)) {
      const line = JSON.parse(text) as Line
      if ('began' in line) attempts.set(line.began.id, { attempt: line.began, told: [] })
      else attempts.get(line.id)!.told.push(line.told)
    }
    return [...attempts.values()]
  }

  #write(line: Line): void {
    this.#descriptor ??= openSync(this.#path, 'a')
    writeSync(this.#descriptor, `${JSON.stringify(line)}\n`)
  }
}
