import type { WriteStream } from 'node:tty'

const redrawMs = 100

/**
 * Tells people what is going on, step by step. On a terminal the step that runs is one line that is drawn again and
 * again; elsewhere each step is a plain line when it begins and one when it ends.
 */
export class Progress {
  readonly #out: WriteStream
  readonly #startedAt = performance.now()
  #step = 'start'
  #stepStartedAt = this.#startedAt
  #detail = (): string => ''
  #timer: NodeJS.Timeout | undefined

  constructor(out: WriteStream) {
    this.#out = out
  }

  /** What runs now, for how long, and how far it came. */
  get where(): string {
    return [this.#step, this.#detail(), `for ${seconds(this.#stepStartedAt)}`].filter(Boolean).join(', ')
  }

  begin(step: string, detail: () => string = () => ''): void {
    this.#step = step
    this.#stepStartedAt = performance.now()
    this.#detail = detail
    if (this.#out.isTTY) {
      this.#draw()
      this.#timer = setInterval(() => this.#draw(), redrawMs).unref()
    } else this.#line(`${step} …`)
  }

  end(result: string): void {
    clearInterval(this.#timer)
    const text = `${this.#step.padEnd(13)} ${result.padEnd(70)}`
    if (this.#out.isTTY) this.#rewrite(`✓ ${text} ${seconds(this.#stepStartedAt).padStart(7)}\n`)
    else this.#line(`${text.trimEnd()}, ${seconds(this.#stepStartedAt)}`)
  }

  /** Something that happens during a step. */
  note(text: string): void {
    if (this.#out.isTTY) this.#rewrite(`⚡ ${text}\n`)
    else this.#line(text)
  }

  #draw(): void {
    const text = `… ${this.#step.padEnd(13)} ${this.#detail()}`
    // A line that wraps could not be drawn over.
    this.#rewrite(text.slice(0, (this.#out.columns || 80) - 1))
  }

  #rewrite(text: string): void {
    this.#out.write(`\r\u001B[K${text}`)
  }

  #line(text: string): void {
    this.#out.write(`${seconds(this.#startedAt).padStart(7)}  ${text}\n`)
  }
}

/** A bar of 20 characters. */
export function bar(done: number, total: number): string {
  const filled = Math.floor((20 * done) / total)
  return '━'.repeat(filled) + '─'.repeat(20 - filled)
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1_000).toFixed(1)} s`
}
