import { setTimeout as pause } from 'node:timers/promises'
import type { Evidence } from './check-history.ts'

type Look = () => Promise<ReadonlyMap<string, string>>

/** Who may work on a partition of a group: the token, and the replication id of the server on which it was seen. */
export interface Term {
  readonly server: string
  readonly token: number
}

/** From one look to the next: sinks and groups do not tell when they change. */
const everyMs = 40

/** Looks at sinks and groups again and again, and keeps what it saw of each, one after the other. */
export class Probe {
  readonly #seen = new Map<string, { sink: string; key: string; contents: (string | undefined)[] }>()
  readonly #terms = new Map<string, Term[]>()
  readonly #stopping = new AbortController()
  readonly #running: Promise<unknown>

  constructor(looks: Readonly<Record<string, Look>>, lookAtGroups: () => Promise<ReadonlyMap<string, Term>>) {
    const sinks = Object.entries(looks).map(([sink, look]) =>
      this.#repeat(async () => this.#note(sink, await look())),
    )
    this.#running = Promise.all([...sinks, this.#repeat(async () => this.#noteTerms(await lookAtGroups()))])
  }

  seen(): Evidence['seen'] {
    return [...this.#seen.values()]
  }

  terms(): ReadonlyMap<string, readonly Term[]> {
    return this.#terms
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #repeat(look: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await look().catch(() => {
        // The server that it looks at is dead for the moment.
      })
      await pause(everyMs, undefined, { signal }).catch(() => {})
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

  #noteTerms(terms: ReadonlyMap<string, Term>): void {
    for (const [name, term] of terms) {
      const of = this.#terms.get(name) ?? []
      const last = of.at(-1)
      if (last?.server !== term.server || last.token !== term.token) of.push(term)
      this.#terms.set(name, of)
    }
  }
}
