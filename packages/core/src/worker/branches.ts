import type { Stamp } from '../change/stamp.ts'
import type { Branch, Header } from '../log/header.ts'
import type { SinkPosition } from '../sink/sink.ts'

/** Which branch of history each epoch of a partition is, as far as its header was read. */
export class Branches {
  #epochs: ReadonlyMap<number, { readonly branch: Branch }> = new Map()

  learn({ epochs }: Pick<Header, 'epochs'>): void {
    this.#epochs = epochs
  }

  knows(epoch: number): boolean {
    return this.#epochs.has(epoch)
  }

  /** How a sink is told where it stands. */
  position({ epoch, sequence }: Stamp): SinkPosition {
    return { epoch, sequence, branch: this.#epochs.get(epoch)?.branch ?? '' }
  }
}
