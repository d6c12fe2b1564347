import type { Batch } from '../change/batch.ts'
import type { Change } from '../change/change.ts'
import type { Stamp } from '../change/stamp.ts'
import type { Marker } from '../proof/marker.ts'

export interface DispatcherOptions {
  /** The collection that the sink takes: other changes of the partition are done at once. */
  readonly collection: string
  /** Whether changes of a key that wait together become their newest. Only right for changes of state. */
  readonly coalesce: boolean
  /** Where the partition stands: the first batch pushed continues after it. */
  readonly start: Stamp
  /** Whether markers hold up what comes after them until `release`; else they are passed over. Default false. */
  readonly barriers?: boolean
}

/** Changes of one key that go to the sink as one: all but the last are superseded by it. */
export interface Run {
  /** What is applied: the newest. */
  readonly change: Change
  readonly count: number
  /** How often it was offered before. */
  readonly attempts: number
  /** @internal */ readonly queue: KeyQueue
}

/** What the caller has to do about a change that its sink rejects: park it, with everything behind it. */
export interface Rejected {
  readonly key: string
  readonly changes: readonly Change[]
  /** @internal */ readonly queue: KeyQueue
}

interface Work {
  readonly change: Change
  done: boolean
  /** The next change of its key. */
  next: Work | undefined
}

/** A marker that is waited for. Its entry is not done before it is released. */
interface Gate {
  readonly marker: Marker
  done: boolean
}

interface KeyQueue {
  readonly key: string
  /** The oldest change that is not done, and from there on a chain: most keys have one, and a list would cost more. */
  first: Work | undefined
  last: Work | undefined
  waiting: number
  /** In the ready list, at the sink, postponed or being parked. */
  busy: boolean
  attempts: number
  /** So many of the next changes go alone, because together they were rejected. */
  alone: number
}

interface Entry {
  readonly id: string
  readonly last: Stamp
  readonly works: readonly (Work | Gate | undefined)[]
  readonly size: number
}

/**
 * Who goes next in one partition. Keys run side by side; the changes of one key go in order, one run at a time. What
 * is finished out of order is remembered until everything before it is finished too: that is the checkpoint.
 *
 * A marker is a barrier: what comes after it is held back until everything before it is done and the marker is released. A
 * marker that meets a key which is being retried is passed over instead: nobody waits for a key that may never go.
 *
 * Pure: no clock, no I/O. Delays and parking are the caller's. Lists are cut only now and then, but what is finished is let
 * go at once: a batch can hold a thousand changes.
 *
 * Source of the idea: the key-ordered mode of Confluent's parallel consumer for Kafka.
 */
export class Dispatcher {
  readonly #collection: string
  readonly #coalesce: boolean
  readonly #barriers: boolean
  readonly #queues = new Map<string, KeyQueue>()
  /** Queues that may go, first come first served; cut now and then. */
  #ready: (KeyQueue | undefined)[] = []
  #readyHead = 0
  /** Entries that are not finished, in the order of the log. */
  readonly #entries: (Entry | undefined)[] = []
  #entriesHead = 0
  #workHead = 0
  #finished: string[] = []
  #checkpoint: Stamp
  #waiting = 0
  #size = 0
  /** Keys that the sink has put off. */
  #retrying = 0
  #gate: Gate | undefined
  /** Batches behind the gate. */
  #held: { readonly batch: Batch; readonly skip: number }[] = []
  #heldChanges = 0
  #heldSize = 0

  constructor({ collection, coalesce, start, barriers = false }: DispatcherOptions) {
    this.#collection = collection
    this.#coalesce = coalesce
    this.#barriers = barriers
    this.#checkpoint = start
  }

  /** Everything up to here is done. */
  get checkpoint(): Stamp {
    return this.#checkpoint
  }

  /** Changes that are not done. */
  get waiting(): number {
    return this.#waiting + this.#heldChanges
  }

  /** Characters held by batches that are not wholly done. */
  get size(): number {
    return this.#size + this.#heldSize
  }

  /** The marker before which everything is done, and behind which nothing was handed out. */
  get barrier(): Marker | undefined {
    const gate = this.#gate
    return gate && this.#entries[this.#entriesHead]?.works[0] === gate ? gate.marker : undefined
  }

  /** What comes after the marker may go. */
  release(): void {
    if (!this.#gate) return
    this.#gate.done = true
    this.#gate = undefined
    this.#advance()
    const held = this.#held
    this.#held = []
    this.#heldChanges = 0
    this.#heldSize = 0
    for (const { batch, skip } of held) this.push(batch, skip)
  }

  /** Takes a batch in; its first `skip` changes are done already. */
  push(batch: Batch, skip: number): void {
    if (this.#gate) {
      this.#held.push({ batch, skip })
      this.#heldChanges += batch.changes.length - skip
      this.#heldSize += batch.size
      return
    }
    if (batch.marker && this.#barriers && this.#retrying === 0) {
      this.#gate = { marker: batch.marker, done: false }
      this.#enter(batch, [this.#gate])
      return
    }
    const works = new Array<Work | undefined>(batch.changes.length - skip)
    for (let at = skip; at < batch.changes.length; at++) {
      const change = batch.changes[at]!
      if (change.collection !== this.#collection) {
        continue
      }
      const work: Work = { change, done: false, next: undefined }
      works[at - skip] = work
      this.#waiting++
      const { key } = change
      let queue = this.#queues.get(key)
      if (!queue) {
        queue = { key, first: work, last: work, waiting: 1, busy: false, attempts: 0, alone: 0 }
        this.#queues.set(key, queue)
      } else {
        if (queue.last) queue.last.next = work
        else queue.first = work
        queue.last = work
        queue.waiting++
      }
      this.#makeReady(queue)
    }
    this.#enter(batch, works)
  }

  #enter({ id, epoch, last, size }: Batch, works: Entry['works']): void {
    this.#entries.push({ id, last: { epoch, sequence: last }, works, size })
    this.#size += size
    this.#advance()
  }

  /** An entry that holds nothing new: it is only to be acknowledged. */
  known(id: string): void {
    this.#finished.push(id)
  }

  /**
   * The next runs, of distinct keys, at most so many and of so many characters (but at least one).
   *
   * @param goesAlone keys that share no call with others
   */
  take(countMax: number, sizeMax: number, goesAlone: (key: string) => boolean = () => false): Run[] {
    const runs: Run[] = []
    let size = 0
    while (runs.length < countMax && this.#readyHead < this.#ready.length) {
      const queue = this.#ready[this.#readyHead]!
      const newest = this.#coalesce && queue.alone === 0
      const count = newest ? queue.waiting : 1
      const { change } = (newest ? queue.last : queue.first)!
      const changeSize = change.payload.length + change.key.length
      const alone = goesAlone(queue.key)
      if (runs.length > 0 && (alone || size + changeSize > sizeMax)) break
      size += changeSize
      this.#ready[this.#readyHead++] = undefined
      runs.push({ change, count, attempts: queue.attempts, queue })
      if (alone) break
    }
    if (this.#readyHead > 1_024 && this.#readyHead * 2 > this.#ready.length) {
      this.#ready = this.#ready.slice(this.#readyHead)
      this.#readyHead = 0
    }
    return runs
  }

  /** The sink has it, or something newer: the run is done. */
  settle({ queue, count }: Run): void {
    this.#finish(queue, count)
    queue.busy = false
    this.#makeReady(queue)
  }

  /** Not now: the key waits until `resume`. */
  postpone({ queue }: Run): void {
    if (queue.attempts++ === 0) this.#retrying++
    this.release()
  }

  /** A postponed key may go again. */
  resume({ queue }: Run): void {
    queue.busy = false
    this.#makeReady(queue)
  }

  /**
   * The sink rejects the run. If it stood for several changes, they go one by one, since only some may be bad: undefined.
   * Else the change has to be parked, and everything of its key that waits behind it.
   */
  reject({ queue, count }: Run): Rejected | undefined {
    if (count > 1) {
      queue.alone = count
      this.#forgetAttempts(queue)
      queue.busy = false
      this.#makeReady(queue)
      return undefined
    }
    return { key: queue.key, changes: waitingOf(queue), queue }
  }

  /** A run of a key that is parked already: everything of the key that waits goes behind it. */
  divert({ queue }: Run): Rejected {
    return { key: queue.key, changes: waitingOf(queue), queue }
  }

  /** The changes are set aside: for the log they are done. Later ones of the key may have come meanwhile. */
  parked({ queue, changes }: Rejected): void {
    this.#finish(queue, changes.length)
    queue.busy = false
    this.#makeReady(queue)
  }

  /** IDs of entries that are done with everything before them, since the last call. */
  takeFinished(): string[] {
    const finished = this.#finished
    this.#finished = []
    return finished
  }

  #makeReady(queue: KeyQueue): void {
    if (queue.busy) return
    if (queue.waiting === 0) {
      this.#queues.delete(queue.key)
      return
    }
    queue.busy = true
    this.#ready.push(queue)
  }

  #finish(queue: KeyQueue, count: number): void {
    for (let at = 0; at < count; at++) {
      const work = queue.first!
      work.done = true
      queue.first = work.next
    }
    if (!queue.first) queue.last = undefined
    queue.waiting -= count
    queue.alone = Math.max(0, queue.alone - count)
    this.#forgetAttempts(queue)
    this.#waiting -= count
    this.#advance()
  }

  #forgetAttempts(queue: KeyQueue): void {
    if (queue.attempts > 0) this.#retrying--
    queue.attempts = 0
  }

  /** Moves the checkpoint over everything that is done without a gap. */
  #advance(): void {
    while (this.#entriesHead < this.#entries.length) {
      const entry = this.#entries[this.#entriesHead]!
      const { works, last } = entry
      while (this.#workHead < works.length && works[this.#workHead]?.done !== false) this.#workHead++
      if (this.#workHead < works.length) {
        const sequence = last.sequence - (works.length - this.#workHead)
        if (last.epoch !== this.#checkpoint.epoch || sequence > this.#checkpoint.sequence) {
          // Before the first change of a new epoch is done, nothing says that the epoch has been entered.
          if (this.#workHead > 0) this.#checkpoint = { epoch: last.epoch, sequence }
        }
        break
      }
      this.#checkpoint = last
      this.#finished.push(entry.id)
      this.#size -= entry.size
      this.#entries[this.#entriesHead++] = undefined
      this.#workHead = 0
    }
    if (this.#entriesHead > 256 && this.#entriesHead * 2 > this.#entries.length) {
      this.#entries.splice(0, this.#entriesHead)
      this.#entriesHead = 0
    }
  }
}

function waitingOf(queue: KeyQueue): Change[] {
  const changes: Change[] = []
  for (let work = queue.first; work; work = work.next) changes.push(work.change)
  return changes
}
