import { books, type Book } from '@headwater/conformance'
import {
  applied,
  type Change,
  type Collection,
  type OpenPartitionOptions,
  type Outcome,
  type Sink,
  type SinkCapabilities,
  type SinkPartition,
  type SinkPosition,
} from '@headwater/core'

type Answer = (
  changes: readonly Change[],
  signal: AbortSignal,
) => readonly Outcome[] | Promise<readonly Outcome[]>

/** An adapter that does what a test tells it to, and notes what it is asked. */
export class ScriptedSink implements Sink<Book> {
  readonly name = 'scripted sink'
  readonly collection: Collection<Book> = books
  readonly capabilities: SinkCapabilities
  /** What `apply` does next, call by call; afterwards everything is applied. */
  readonly answers: Answer[] = []
  position: SinkPosition | undefined
  /** The keys of each `apply`. */
  readonly batches: string[][] = []
  readonly positions: SinkPosition[] = []
  opening: () => Promise<void> = async () => {}
  advancing: () => Promise<void> = async () => {}
  partitionsClosed = 0
  closed = 0

  constructor(capabilities: Partial<SinkCapabilities> = {}) {
    this.capabilities = {
      transactions: false,
      list: false,
      read: false,
      concurrency: 1,
      batch: { changes: 100, bytes: 1_048_576 },
      ...capabilities,
    }
  }

  async open({ signal }: OpenPartitionOptions): Promise<SinkPartition> {
    signal?.throwIfAborted()
    await this.opening()
    return {
      position: this.position,
      apply: async (changes, position, { signal }) => {
        this.batches.push(changes.map(({ key }) => key))
        this.positions.push(position)
        return this.answers.shift()?.(changes, signal) ?? changes.map(() => applied)
      },
      advance: async (position) => {
        await this.advancing()
        this.positions.push(position)
      },
      close: async () => {
        this.partitionsClosed++
      },
    }
  }

  async close(): Promise<void> {
    this.closed++
  }
}

/** A promise that a test settles. */
export function pending<T>(): {
  promise: Promise<T>
  resolve: (value: T) => void
  reject: (error: Error) => void
} {
  let resolve!: (value: T) => void
  let reject!: (error: Error) => void
  const promise = new Promise<T>((whenResolved, whenRejected) => {
    resolve = whenResolved
    reject = whenRejected
  })
  return { promise, resolve, reject }
}
