import type { CapturedCollection } from './captured-collection.ts'
import { anyDatabase } from './command-keys.ts'
import { textOf } from './key-pattern.ts'
import type { SourceMoment, StateWriter } from './state-writer.ts'

/** Keys that have changed at the source, each once however often it did. */
export class DirtyKeys {
  readonly #collections: readonly CapturedCollection[]
  readonly #writer: StateWriter
  #ids = new Map<CapturedCollection, Set<string>>()
  #unreadable: (readonly [collection: string, key: Buffer])[] = []
  #size = 0

  constructor(collections: readonly CapturedCollection[], writer: StateWriter) {
    this.#collections = collections
    this.#writer = writer
  }

  get size(): number {
    return this.#size + this.#unreadable.length
  }

  mark(database: number, key: Buffer): void {
    for (const captured of this.#collections) {
      if (database !== captured.database && database !== anyDatabase) continue
      if (captured.pattern.idOf(key) === undefined) continue
      const id = idText(captured, key)
      if (id === undefined) this.#unreadable.push([captured.collection.name, key])
      else this.#add(captured, id)
    }
  }

  /** Brings the latest values of all of them into the log. */
  async write(moment: () => SourceMoment): Promise<void> {
    for (const [collection, key] of this.#unreadable.splice(0)) this.#writer.rejectKey(collection, key)
    const ids = this.#ids
    this.#ids = new Map()
    this.#size = 0
    for (const [captured, some] of ids) await this.#writer.write(captured, some, moment)
  }

  #add(captured: CapturedCollection, id: string): void {
    let ids = this.#ids.get(captured)
    if (!ids) this.#ids.set(captured, (ids = new Set()))
    if (ids.has(id)) return
    ids.add(id)
    this.#size++
  }
}

/** The key in the collection of a key that is meant; undefined where it can be none. */
export function idText({ pattern }: CapturedCollection, key: Buffer): string | undefined {
  const id = pattern.idOf(key)
  return id && id.length > 0 ? textOf(id) : undefined
}
