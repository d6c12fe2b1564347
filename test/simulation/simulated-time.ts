import type { Random } from '../support/random.ts'
import { replaceClocks, type Timer } from './process-clocks.ts'

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
  /** Its place in the heap; negative when it is not there (any more). */
  place: number
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

  /** Whether what this one is told now may go on at once: it is its own happening that is under way. */
  isTurnOf(of: Actor): boolean {
    return of === this.#actor
  }

  after(delayMs: number, run: () => void, of: Actor = this.#world): Happening {
    const happening = { at: this.#now + delayMs, order: this.#order++, actor: of, run, place: -1 }
    this.#push(happening)
    return happening
  }

  /** Runs what happens, and all that follows from it, until nothing is left or it is said to be over. */
  async run(isOver: () => boolean): Promise<void> {
    const giveBack = replaceClocks({
      now: () => this.#now,
      random: () => this.random.below(2 ** 30) / 2 ** 30,
      start: (ms, callback, again) => new SimulatedTimer(this, this.#actor, ms, callback, again),
    })
    try {
      await new Promise<void>((resolve, reject) => {
        const settled = Promise.resolve()
        // Ticks run when no promise is left to go on; one that is asked for by a promise waits for all the others.
        const goOn = (): void => process.nextTick(step)
        const step = (): void => {
          try {
            if (isOver() || !this.#step()) return resolve()
            void settled.then(goOn)
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
        }
        goOn()
      })
    } finally {
      this.#actor = this.#world
      giveBack()
    }
  }

  /** Runs what happens next; false when nothing does. */
  #step(): boolean {
    for (;;) {
      const next = this.#heap[0]
      if (!next) return false
      const { actor: of } = next
      if (of.alive && of.stoppedUntil > next.at) {
        next.at = of.stoppedUntil
        this.#sink(next, 0)
        continue
      }
      this.remove(next)
      if (!of.alive) continue
      this.#now = next.at
      this.#actor = of
      this.steps++
      next.run()
      return true
    }
  }

  #push(happening: Happening): void {
    this.#heap.push(happening)
    this.#rise(happening, this.#heap.length - 1)
  }

  /** Most timers are limits that are never reached: what is taken back must not stay until its time has come. */
  remove(happening: Happening): void {
    const { place } = happening
    if (place < 0) return
    happening.place = -1
    const last = this.#heap.pop()!
    if (last === happening) return
    if (place > 0 && isBefore(last, this.#heap[(place - 1) >> 1]!)) this.#rise(last, place)
    else this.#sink(last, place)
  }

  #rise(happening: Happening, from: number): void {
    const heap = this.#heap
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(happening, heap[parent]!)) break
      this.#put(heap[parent]!, at)
      at = parent
    }
    this.#put(happening, at)
  }

  #sink(happening: Happening, from: number): void {
    const heap = this.#heap
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, happening)) break
      this.#put(heap[child]!, at)
      at = child
    }
    this.#put(happening, at)
  }

  #put(happening: Happening, place: number): void {
    this.#heap[place] = happening
    happening.place = place
  }
}

/** A timer of whoever was at work when it was set. */
class SimulatedTimer implements Timer {
  readonly #time: SimulatedTime
  readonly #actor: Actor
  readonly #ms: number
  readonly #run: () => void
  readonly #again: boolean
  #happening: Happening

  constructor(time: SimulatedTime, of: Actor, ms: number, run: () => void, again: boolean) {
    this.#time = time
    this.#actor = of
    this.#ms = ms
    this.#run = run
    this.#again = again
    this.#happening = this.#set()
  }

  cancel(): void {
    this.#time.remove(this.#happening)
  }

  unref(): this {
    return this
  }

  /** A busy program comes to its timers late. */
  #set(): Happening {
    const { random } = this.#time
    const late = random.chance(0.02) ? random.below(80) : random.below(100) / 50
    return this.#time.after(this.#ms + late, () => this.#fire(), this.#actor)
  }

  #fire(): void {
    if (this.#again) this.#happening = this.#set()
    this.#run()
  }
}

export function actor(name: string): Actor {
  return { name, alive: true, stoppedUntil: 0 }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
