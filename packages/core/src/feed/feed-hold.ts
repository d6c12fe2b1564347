import type { Stamp } from '../change/stamp.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { moveHold, takeHold } from '../retention/holds.ts'

/** What retention keeps for a feed. */
export interface FeedRetain {
  /** Whose: one reader has a name, and has it again when it comes back. 1 to 100 characters without spaces. */
  readonly name: string
  /** How long after the feed has ended, or its process has died, in ms, from 10,000. Default one hour. */
  readonly forMs?: number
}

const forMsDefault = 3_600_000
const forMsMin = 10_000
/** How often what was given is let go, in ms. */
const tickMsMax = 10_000

/** Registers a feed with retention, in every partition, and gives up what its reader has passed. */
export class FeedHold {
  readonly #parts: LogParts
  readonly #name: string
  readonly #ttlMs: number
  #timer: NodeJS.Timeout | undefined
  /** By partition: what the reader had passed a tick ago. It may not have saved its position since. */
  #passed: readonly Stamp[] = []

  /** @throws HeadwaterError OPTION_INVALID */
  constructor(parts: LogParts, { name, forMs = forMsDefault }: FeedRetain) {
    if (typeof name !== 'string' || !/^\S{1,100}$/.test(name)) {
      throw new HeadwaterError(
        'OPTION_INVALID',
        `retain.name ${quoted(name)} must be 1 to 100 characters without spaces.`,
      )
    }
    if (!Number.isSafeInteger(forMs) || forMs < forMsMin) {
      throw new HeadwaterError(
        'OPTION_INVALID',
        `retain.forMs ${String(forMs)} must be an integer from ${forMsMin}.`,
      )
    }
    this.#parts = parts
    this.#name = name
    this.#ttlMs = forMs
  }

  /**
   * From then on nothing behind these places is trimmed.
   *
   * @throws HeadwaterError MUST_REFETCH where some of it is gone already
   */
  async take(after: readonly (Stamp | 'end' | 'earliest')[]): Promise<void> {
    await Promise.all(after.map((place, partition) => this.#take(partition, place)))
  }

  /** Lets go of what was passed, until `close`. */
  follow(passed: () => readonly Stamp[]): void {
    this.#passed = [...passed()]
    const tick = (): void => {
      const before = this.#passed
      this.#passed = [...passed()]
      this.#move(before).catch(() => {
        // Redis that cannot be asked now is asked again at the next tick, well before the hold expires.
      })
    }
    this.#timer = setInterval(tick, Math.min(tickMsMax, this.#ttlMs / 4))
    this.#timer.unref()
  }

  /** What is held stays held for `forMs`, so that the reader can come back. */
  close(): void {
    clearInterval(this.#timer)
  }

  async #move(passed: readonly Stamp[]): Promise<void> {
    await Promise.all(
      passed.map(async (after, partition) => {
        const moved = await moveHold(this.#parts, this.#of(partition), after)
        // It expired while this process stood still. What has gone meanwhile is told to the reader by the feed itself.
        if (moved === 'gone') await this.#take(partition, after)
      }),
    )
  }

  async #take(partition: number, after: Stamp | 'end' | 'earliest'): Promise<void> {
    const place = typeof after !== 'string' && after.epoch === 0 ? 'earliest' : after
    try {
      await takeHold(this.#parts, { ...this.#of(partition), kind: 'feed', after: place, ttlMs: this.#ttlMs })
    } catch (error) {
      if (!isHeadwaterError(error, 'HISTORY_TRIMMED')) throw error
      throw new HeadwaterError('MUST_REFETCH', `${error.message} Begin again with a snapshot.`)
    }
  }

  #of(partition: number): { readonly partition: number; readonly name: string; readonly owner: string } {
    // Whoever comes back under the name is the same reader: the name is the owner too.
    return { partition, name: `feed:${this.#name}`, owner: this.#name }
  }
}
