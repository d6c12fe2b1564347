import type { FeedChange, Log } from '@headwater/core'

type Seen = Pick<FeedChange, 'key' | 'kind' | 'position' | 'snapshot'>

/** What the log holds in the end, read by itself: what every subscriber is owed. */
export class Oracle {
  /** Position → place in the log, partition after partition. */
  readonly places = new Map<string, number>()
  /** Key → position of its value; undefined for a deleted key. */
  readonly present = new Map<string, string | undefined>()

  static async read(log: Log): Promise<Oracle> {
    const oracle = new Oracle()
    for (let partition = 0; partition < log.partitions; partition++) {
      for await (const { position, key, kind } of log.read(partition)) {
        oracle.places.set(position, oracle.places.size)
        oracle.present.set(key, kind === 'put' ? position : undefined)
      }
    }
    return oracle
  }
}

/**
 * Remembers what one subscriber was given, and judges it: every change of the log once and in the order of its partition;
 * after a snapshot every change that is newer than the row of its key.
 */
export class Witness {
  readonly #changes: Seen[] = []
  readonly #rows = new Map<string, string>()
  readonly #held = new Map<string, string>()
  #fault: string | undefined

  see(change: Seen): void {
    const { key, kind, position, snapshot } = change
    if (kind === 'put') this.#held.set(key, position)
    else this.#held.delete(key)
    if (!snapshot) this.#changes.push(change)
    else if (this.#rows.has(key)) this.#fault = `key ${key} came twice in the snapshot`
    else this.#rows.set(key, position)
  }

  /** All that was given, rows included. */
  get count(): number {
    return this.#changes.length + this.#rows.size
  }

  /** Whether everything has come; it may still be wrong. */
  isComplete({ places, present }: Oracle, snapshot: boolean): boolean {
    if (!snapshot) return this.#changes.length >= places.size
    return [...present].every(([key, position]) => this.#held.get(key) === position)
  }

  /** What is wrong, in words. */
  judge({ places }: Oracle, snapshot: boolean): string | undefined {
    const last = new Map<string, number>()
    for (const { key, position } of this.#changes) {
      const place = places.get(position)
      if (place === undefined) return `${position} is not in the log`
      // Of one partition, or with a snapshot of one key, places must rise; without one they must have no hole.
      const line = snapshot ? key : position.split(':')[0]!
      const row = snapshot ? this.#rows.get(key) : undefined
      const before = last.get(line) ?? (row === undefined ? undefined : places.get(row))
      if (before !== undefined && place <= before) return `${position} came twice or late`
      if (!snapshot && before !== undefined && place !== before + 1)
        return `something is missing before ${position}`
      last.set(line, place)
    }
    if (!snapshot && this.#changes.length !== places.size)
      return `${this.#changes.length} came of ${places.size}`
    return this.#fault
  }
}
