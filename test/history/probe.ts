import type { Evidence } from './check-history.ts'

type Look = () => Promise<ReadonlyMap<string, string>>

const everyMs = 20

/** Looks at the sinks again and again, and keeps what it saw of each key, one after the other. */
export class Probe {
  readonly #seen = new Map<string, { sink: string; key: string; contents: (string | undefined)[] }>()
  readonly #stopping = new AbortController()
  readonly #running: Promise<unknown>

  constructor(looks: Readonly<Record<string, Look>>) {
    this.#running = Promise.all(Object.entries(looks).map(([sink, look]) => this.#watch(sink, look)))
  }

  seen(): Evidence['seen'] {
    return [...this.#seen.values()]
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #watch(sink: string, look: Look): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#note(sink, await look())
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
  }

  #note(sink: string, rows: ReadonlyMap<string, string>): void {
    const keys = new Set([...rows.keys(), ...[...this.#seen.values()].map(({ key }) => key)])
    for (const key of keys) {
      const id = `${sink} ${key}`
      const of = this.#seen.get(id) ?? { sink, key, contents: [] }
      const content = rows.get(key)
      if (of.contents.length === 0 || of.contents.at(-1) !== content) of.contents.push(content)
      this.#seen.set(id, of)
    }
  }
}
