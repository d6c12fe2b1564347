/** Says on stderr what is being measured: a full run takes a while. */
export class Progress {
  readonly #startedAt = performance.now()
  #where = ''

  begin(question: string): void {
    this.#where = question
    this.say('…')
  }

  say(text: string): void {
    const seconds = ((performance.now() - this.#startedAt) / 1_000).toFixed(0)
    process.stderr.write(`${seconds.padStart(5)} s  ${this.#where}: ${text}\n`)
  }

  /** For `alternate`. */
  readonly measured = (round: number, name: string, measured: unknown): void => {
    this.say(`round ${round}, ${name} ${text(measured)}`)
  }
}

function text(measured: unknown): string {
  if (typeof measured === 'number') return short(measured)
  return Object.entries(measured as Record<string, unknown>)
    .filter((entry): entry is [string, number] => typeof entry[1] === 'number')
    .map(([name, value]) => `${name} ${short(value)}`)
    .join(', ')
}

function short(value: number): string {
  return value >= 1_000 ? `${(value / 1_000).toFixed(1)}k` : value.toPrecision(3)
}
