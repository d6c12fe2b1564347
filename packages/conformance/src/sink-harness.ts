import type { Collection, Sink } from '@headwater/core'
import type { Book } from './books.ts'

/** What an adapter's test gives to the kit. */
export interface SinkHarness {
  /** What the sink is expected to declare, so that a capability that got lost fails instead of testing less. */
  readonly supports: {
    readonly transactions: boolean
    readonly list: boolean
    readonly read: boolean
    /** Default false. */
    readonly replace?: boolean
    /** Default false. */
    readonly digest?: boolean
    /** Default false. */
    readonly snapshot?: boolean
    /** Whether keys and texts may contain U+0000. Where not, such a change must be rejected, and only that one. */
    readonly nul: boolean
  }
  /** Set it where `dump` shows an absent member of a value as null, as columns do. Default false. */
  readonly absentAsNull?: boolean
  /** Spoils a book so that this target can never hold it, where there is such a book. */
  readonly poison?: (book: Book) => Book
  /** How long a sink may take to recover from a broken link, in ms. Default 10,000. */
  readonly patienceMs?: number
  /** How many random histories and values each property is tried with. Default 20. */
  readonly runs?: number
  /** Makes a new target without rows, and a sink on it. The kit calls `prepare`. */
  open<T>(collection: Collection<T>): Promise<SinkTarget>
}

export interface SinkTarget {
  readonly sink: Sink
  /** Another sink on the same target, with its own client, as another process would have. */
  another(): Promise<Sink>
  /** One more, whose link to the target the kit can break. */
  faulty(): Promise<FaultySink>
  /**
   * The live values by key as users see them: read with the very client that `sink` was given and not through the
   * adapter, so that it also shows that `sink` left the client open.
   */
  dump(): Promise<Map<string, unknown>>
  /** Removes the target and ends the clients; the sinks are closed by then. */
  close(): Promise<void>
}

export interface FaultySink {
  readonly sink: Sink
  readonly link: FaultyLink
}

/** A link that breaks on demand: `startProxy` of `@headwater/local-servers` is one, `breakable` makes one in process. */
export interface FaultyLink {
  /** Cuts the connection in place of the nth request from now, counting from 1. Settles once that has happened. */
  loseRequest(request: () => boolean, options: { readonly nth: number }): Promise<void>
  /** Lets the target execute the nth request from now, and cuts the connection in place of the reply. */
  loseReply(request: () => boolean, options: { readonly nth: number }): Promise<void>
}
