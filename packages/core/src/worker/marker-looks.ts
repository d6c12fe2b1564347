import { compareStamps, type Stamp } from '../change/stamp.ts'
import type { Marker } from '../proof/marker.ts'
import type { Prover } from '../proof/prover.ts'
import type { SinkPartition } from '../sink/sink.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Signal } from './signal.ts'
import type { Turns } from './turns.ts'

/**
 * Lets the sink be looked at where it stands at a marker of the log. Not while a parked key is on its way into the sink: it
 * would count as neither parked nor there.
 */
export class MarkerLooks {
  readonly #prover: Prover
  readonly #changed: Signal
  /** The newest marker at which the sink was looked at, or was to be. */
  #marker: Marker | undefined
  /** Where the log ended when the first copy did: at markers before it the sink is ahead. */
  #copiedUpTo: Stamp | undefined
  #again = false
  /** The sink is being looked at. */
  #looking = false
  /** A parked key is on its way into the sink. */
  #stepping = false

  constructor(prover: Prover, changed: Signal) {
    this.#prover = prover
    this.#changed = changed
  }

  /** The partition begins at this marker: whoever had it before may have stopped behind it. */
  begin(marker: Marker | undefined): void {
    this.#marker = marker
  }

  /** The first copy is done, and brought what the log held up to here. */
  copied(upTo: Stamp): void {
    this.#copiedUpTo = upTo
  }

  /**
   * Nothing was appended since the last marker, so what the log held there it still holds: where the sink stands there, it
   * is looked at again.
   */
  lookAgain(): void {
    this.#again = true
    this.#changed.notify()
  }

  /** Somebody asked for another look. */
  get again(): boolean {
    return this.#again
  }

  /** Looks where everything up to a marker is done. */
  async look(dispatcher: Dispatcher, sinkPartition: SinkPartition): Promise<void> {
    const marker = dispatcher.barrier
    if (marker) {
      this.#marker = marker
      await this.#lookAt(marker, sinkPartition)
      dispatcher.release()
      this.#changed.notify()
      return
    }
    this.#again = false
    const last = this.#marker
    const standsThere =
      last !== undefined && dispatcher.waiting === 0 && compareStamps(dispatcher.checkpoint, last.stamp) === 0
    if (standsThere) await this.#lookAt(last, sinkPartition)
  }

  async #lookAt(marker: Marker, sinkPartition: SinkPartition): Promise<void> {
    if (this.#copiedUpTo && compareStamps(marker.stamp, this.#copiedUpTo) < 0) return
    this.#looking = true
    try {
      while (this.#stepping) await this.#changed.wait()
      await this.#prover.look(marker, sinkPartition)
    } finally {
      this.#looking = false
      this.#changed.notify()
    }
  }

  /** Takes a parked key one step into the sink, which is not looked at meanwhile. */
  async step(turns: Turns, work: () => Promise<void>): Promise<void> {
    do await turns.wait(() => this.#looking)
    while (this.#looking)
    this.#stepping = true
    try {
      await work()
    } finally {
      this.#stepping = false
      this.#changed.notify()
    }
  }
}
