import { isHeadwaterError, type CollectionOf, type Log } from '@headwater/core'
import { expect } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { Oracle, Witness } from '../feed/witness.ts'

/** A subscriber that reads the whole log and what comes, and begins again when the feed says that it must. */
export class FollowedFeed implements AsyncDisposable {
  #witness = new Witness()
  #refetched = 0
  readonly #abort = new AbortController()
  readonly #running: Promise<void>

  constructor(log: Log, collection: CollectionOf<unknown>) {
    this.#running = this.#run(log, collection)
  }

  /** How often it had to begin again, because a failover had lost what it was given. */
  get refetched(): number {
    return this.#refetched
  }

  async #run(log: Log, collection: CollectionOf<unknown>): Promise<void> {
    const { signal } = this.#abort
    for (;;) {
      try {
        for await (const change of log.feed(collection, { from: 'beginning', signal }))
          this.#witness.see(change)
      } catch (error) {
        if (signal.aborted) return
        if (!isHeadwaterError(error, 'MUST_REFETCH')) throw error
        this.#witness = new Witness()
        this.#refetched++
      }
    }
  }

  /** Waits until it was given every change of the log, each once and in the order of its partition. */
  async expectWhole(log: Log): Promise<void> {
    const oracle = await Oracle.read(log)
    await eventually(() => expect(this.#witness.isComplete(oracle, false)).toBe(true), { timeoutMs: 20_000 })
    expect(this.#witness.judge(oracle, false)).toBeUndefined()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort()
    await this.#running
  }
}
