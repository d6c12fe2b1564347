/** `problem` loses data or stops work; `warning` may do so later; `unknown` could not be looked at. */
export type Severity = 'ok' | 'warning' | 'problem' | 'unknown'

/** What one check came to. */
export interface Finding {
  /** Which check: `persistence`, `memory`, … */
  readonly check: string
  readonly severity: Severity
  /** The node, partition, group or collection that it is about; undefined where it is about the whole log. */
  readonly about: string | undefined
  readonly message: string
  /** What to do; undefined where nothing has to be done. */
  readonly remedy: string | undefined
}

/** Makes the findings of one check. */
export class Findings {
  readonly all: Finding[] = []
  readonly #check: string
  readonly #about: string | undefined

  constructor(check: string, about?: string) {
    this.#check = check
    this.#about = about
  }

  ok(message: string): void {
    this.#add('ok', message, undefined)
  }

  warning(message: string, remedy: string): void {
    this.#add('warning', message, remedy)
  }

  problem(message: string, remedy: string): void {
    this.#add('problem', message, remedy)
  }

  unknown(message: string, remedy: string): void {
    this.#add('unknown', message, remedy)
  }

  #add(severity: Severity, message: string, remedy: string | undefined): void {
    this.all.push({ check: this.#check, severity, about: this.#about, message, remedy })
  }
}
