import type { WriteStream } from 'node:tty'
import { styleText } from 'node:util'
import { withoutSecrets, type ErrorReport } from './error-report.ts'

type Format = Parameters<typeof styleText>[0]

/** On a terminal a line is rewritten this often; elsewhere a new one is written only now and then. */
const progressEveryMs = { terminal: 100, elsewhere: 5_000 }
const barWidth = 20

/**
 * What a command says: text for people or JSON for programs on stdout, everything on the way there on stderr. With JSON,
 * the last line of stdout is the result.
 */
export class Output {
  readonly json: boolean
  readonly #stdout: WriteStream
  readonly #stderr: WriteStream
  #progressAt = performance.now()
  #lineIsOpen = false

  constructor(json: boolean, stdout: WriteStream, stderr: WriteStream) {
    this.json = json
    this.#stdout = stdout
    this.#stderr = stderr
  }

  /** Columns of the terminal that stdout is; undefined where it is none. */
  get columns(): number | undefined {
    return this.#stdout.isTTY ? columnsOf(this.#stdout) : undefined
  }

  /** Colours and weights, where stdout shows them. */
  style(format: Format, text: string): string {
    return styleText(format, text, { stream: this.#stdout })
  }

  /** What the command was called for, or one of many such things. Settles when there is room for more. */
  async result(json: object, text: () => string): Promise<void> {
    this.#closeLine()
    if (this.#stdout.write(`${this.json ? JSON.stringify(json) : text()}\n`)) return
    await new Promise((resolve) => this.#stdout.once('drain', resolve))
  }

  /** A result in place of the one before it, where stdout is a terminal; elsewhere behind it. */
  async picture(json: object, text: () => string): Promise<void> {
    if (this.json || !this.#stdout.isTTY) return await this.result(json, text)
    // Rewritten from the top, and what is left of the one before is cleared: clearing first would flicker.
    const lines = text().replaceAll('\n', '\u001B[K\n')
    await this.result(json, () => `\u001B[H${lines}\u001B[K\u001B[J`)
  }

  /** A line on stderr. */
  note(text: string): void {
    this.#closeLine()
    this.#stderr.write(`${withoutSecrets(text)}\n`)
  }

  /** Why the command failed: one line, as JSON the last one of stdout. */
  error({ code, message }: ErrorReport): void {
    if (!this.json) return this.note(`headwater: ${message} [${code}]`)
    this.#closeLine()
    this.#stdout.write(`${JSON.stringify({ error: { code, message } })}\n`)
  }

  /**
   * How far a long command is: `text` is only called when it is time for news. A terminal shows a bar where the share of the
   * work is known that is done, from 0 to 1.
   */
  progress(text: () => string, share?: number): void {
    const now = performance.now()
    const terminal = this.#stderr.isTTY
    if (now - this.#progressAt < progressEveryMs[terminal ? 'terminal' : 'elsewhere']) return
    this.#progressAt = now
    if (!terminal) return void this.#stderr.write(`${text()}\n`)
    const line = share === undefined ? text() : `${bar(share)} ${text()}`
    this.#stderr.write(`\r\u001B[K${line.slice(0, columnsOf(this.#stderr) - 1)}`)
    this.#lineIsOpen = true
  }

  /** The progress gives way to what is there to stay. */
  #closeLine(): void {
    if (this.#lineIsOpen) this.#stderr.write('\r\u001B[K')
    this.#lineIsOpen = false
  }
}

/** Some terminals do not know how wide they are, and say 0. */
function columnsOf({ columns }: WriteStream): number {
  return columns || 80
}

/** Text from the log, which anybody may have written, without what a terminal would obey. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are what must not reach a terminal
  return text.replaceAll(/[\u0000-\u001F\u007F-\u009F\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** `[######--------------]`. */
function bar(share: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * barWidth)
  return `[${'#'.repeat(full)}${'-'.repeat(barWidth - full)}]`
}

export function count(number: number): string {
  return number.toLocaleString('en-US')
}

/** `512 B`, `2.4 KB`, `17.0 MB`. */
export function bytes(number: number): string {
  if (number < 1_024) return `${number} B`
  if (number < 1_048_576) return `${(number / 1_024).toFixed(1)} KB`
  return `${(number / 1_048_576).toFixed(1)} MB`
}

/** How long the rest takes, as long as what is done took: `, 12 s left`; nothing where that cannot be told yet. */
export function timeLeft(beganAt: number, share: number): string {
  if (share <= 0 || share >= 1) return ''
  return `, ${duration(((performance.now() - beganAt) / 1_000 / share) * (1 - share))} left`
}

/** `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
