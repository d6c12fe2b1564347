import type { Random } from '../support/random.ts'
import { replaceClocks } from './process-clocks.ts'

/** Whoever owns what happens: a worker, a server. What belongs to a dead one never happens. */
export interface Actor {
  readonly name: string
  alive: boolean
  /** Until then it is stopped, and so is everything that belongs to it, ms. */
  stoppedUntil: number
}

interface Happening {
  at: number
  readonly order: number
  readonly actor: Actor
  readonly run: () => void
  cancelled: boolean
}

/**
 * Time that passes by itself, from one happening to the next, in an order that follows from the seed. While it is installed, the
 * clocks, timers and random numbers of the whole process are its own, so programs need not know that they are simulated.
 * Between two happenings all promises run to their end; what they start belongs to the actor of the happening.
 */
export class SimulatedTime {
  readonly random: Random
  /** How many happenings there were. */
  steps = 0
  #now = 0
  #order = 0
  /** A binary heap, the earliest first. */
  readonly #heap: Happening[] = []
  readonly #world: Actor = actor('world')
  #actor: Actor = this.#world

  constructor(random: Random) {
    this.random = random
  }

  /** Ms since it began. */
  get now(): number {
    return this.#now
  }

  /** Whose happening this is. */
  get actor(): Actor {
    return this.#actor
  }

  after(delayMs: number, run: () => void, of: Actor = this.#world): Happening {
    const happening = { at: this.#now + delayMs, order: this.#order++, actor: of, run, cancelled: false }
    this.#push(happening)
    return happening
  }

  /** Runs what happens, and all that follows from it, until nothing is left or it is said to be over. */
  async run(isOver: () => boolean): Promise<void> {
    const giveBack = replaceClocks({
      now: () => this.#now,
      random: () => this.random.below(2 ** 30) / 2 ** 30,
      start: (ms, callback, again) => this.#start(ms, callback, again),
    })
    try {
      while (!isOver()) {
        const next = this.#pop()
        if (!next) return
        if (next.cancelled || !next.actor.alive) continue
        if (next.actor.stoppedUntil > next.at) {
          next.at = next.actor.stoppedUntil
          this.#push(next)
          continue
        }
        this.#now = next.at
        this.#actor = next.actor
        this.steps++
        next.run()
        // Ticks run when no promise is left to go on.
        await new Promise<void>((resolve) => process.nextTick(resolve))
        this.#actor = this.#world
      }
    } finally {
      giveBack()
    }
  }

  /** A timer of whoever is at work now. */
  #start(ms: number, run: () => void, again: boolean): () => void {
    const of = this.#actor
    const fire = (): void => {
      if (again) happening = this.after(ms + this.#lateness(), fire, of)
      run()
    }
    let happening = this.after(ms + this.#lateness(), fire, of)
    return () => {
      happening.cancelled = true
    }
  }

  /** A busy program comes to its timers late. */
  #lateness(): number {
    return this.random.chance(0.02) ? this.random.below(80) : this.random.below(100) / 50
  }

  #push(happening: Happening): void {
    const heap = this.#heap
    let at = heap.push(happening) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(happening, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = happening
  }

  #pop(): Happening | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last || heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

export function actor(name: string): Actor {
  return { name, alive: true, stoppedUntil: 0 }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
