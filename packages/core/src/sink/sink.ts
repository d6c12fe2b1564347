import type { Change } from '../change/change.ts'
import type { Stamp } from '../change/stamp.ts'
import type { Collection } from '../collection/collection.ts'
import type { HeadwaterError } from '../errors/headwater-error.ts'
import type { CellsQuery, DigestCell, DigestQuery } from './digest.ts'
import type { Outcome } from './outcome.ts'
import type { SinkVersions } from './sink-versions.ts'

/**
 * A place where the changes of one collection are applied: the contract of every adapter.
 *
 * Adapters stay naive. The worker wraps them in `guardSink`, which validates what goes in and what comes out,
 * keeps limits and calls in order, turns thrown errors into outcomes and refuses use after close. What an
 * adapter itself must keep, and `@headwater/conformance` attacks on the real server:
 *
 * 1. **Newest wins, whoever delivers.** A change is applied when its stamp is greater than the stamp that the
 *    sink holds for the key (a deleted key keeps its stamp as a tombstone), else it is `stale`. So a duplicate,
 *    a replay from the beginning and a delivery by a worker that lost its lease change nothing; and a change
 *    of a later epoch wins over any of an earlier one, whatever their versions.
 * 2. **Fenced.** `open` writes its fence before it reads the position. A fence with an older (epoch, token) than
 *    the stored one, or an equal one of another owner, is refused with `SINK_FENCED`; so are `apply` and `advance` of
 *    a partition that was opened by somebody else since. The check and the write are one atomic step at the target.
 * 3. **Whole changes.** A crash at any moment leaves each change applied with its stamp and hash, or not at all.
 *    Where `capabilities.transactions` is declared, a whole `apply` is one atomic step together with the position.
 * 4. **The position never runs ahead, nor back.** `apply` is given the position below which every change was applied,
 *    superseded or parked before this call; it is stored no earlier than what it claims, also when all changes are
 *    stale. A stored position is replaced only by one with a greater stamp, whatever the branches: calls may overtake.
 * 5. **One outcome a change**, in the order given. `apply` may throw instead: a `HeadwaterError` of code `SINK_REJECTED`
 *    says that this batch can never be taken as a whole (the guard halves it until the culprit stands alone), `SINK_FENCED`
 *    that the partition is lost; anything else counts as "not now" for the whole batch, which is offered again.
 * 6. **The user's own data.** The replica is plain data under the user's names; bookkeeping is apart or prefixed.
 * 7. **Mended on sight only.** `replace` puts a change in place of exactly what `read` gave, older or newer, or forgets the
 *    key altogether; where anything that is stored of the key differs from what was read, it is left as it is. Look and
 *    write are one atomic step for each key. It asks for no fence: what a worker applies meanwhile is a difference.
 */
export interface Sink<T = unknown> {
  /** The technology and target, for messages and logs: `postgres table "products"`. Never a secret. */
  readonly name: string
  readonly collection: Collection<T>
  readonly capabilities: SinkCapabilities
  /**
   * `state` (the default): puts and deletes, of which the newest is enough; of a decider its folded states. `events`:
   * every change as it was appended, in the order of its key; none is skipped for a newer one. Such a sink may answer
   * `gap` where it lacks what came before, instead of taking half a story.
   */
  readonly takes?: 'state' | 'events'
  /** Creates or checks the target. Called before the first `open`, at least once per worker; safe side by side. */
  prepare?(): Promise<void>
  /** Looks whether the target can be reached and is as it has to be, and changes nothing. Rejects with what is wrong. */
  check?(): Promise<void>
  open(options: OpenPartitionOptions): Promise<SinkPartition>
  /** Every row of the target, deleted ones that still have a tombstone included. Only where `capabilities.list`. */
  list?(options?: { signal?: AbortSignal }): AsyncIterable<SinkRow>
  /** Fingerprints of the live rows, computed from the bookkeeping of each: only non-empty cells. Only where `capabilities.digest`. */
  digest?(query: DigestQuery): Promise<readonly DigestCell[]>
  /** The live rows in some cells. Only where `capabilities.digest`. */
  listCells?(query: CellsQuery): AsyncIterable<SinkRow>
  /** What the target holds of these keys, in their order; undefined for a key it does not know. Only where `capabilities.read`. */
  read?(keys: readonly string[]): Promise<readonly (SinkValue | undefined)[]>
  /** Puts keys right that `read` showed to be wrong: one answer each, in their order. Only where `capabilities.replace`. */
  replace?(replacements: readonly Replacement[]): Promise<readonly ReplaceOutcome[]>
  /** How a new version of the target is built beside the present one. Only where `capabilities.versions`. */
  readonly versions?: SinkVersions<T>
  /** Gives back what the sink itself opened; never a client that the user passed in. Safe to call twice. */
  close(): Promise<void>
}

/** A sink of whatever type: what a worker takes. */
// oxlint-disable-next-line typescript/no-explicit-any -- `T` is taken and given: only `any` fits every one
export type AnySink = Sink<any>

export interface SinkCapabilities {
  /** A batch and its position are one atomic step. */
  readonly transactions: boolean
  readonly list: boolean
  readonly read: boolean
  /** Whether `read` gives marks, and `replace` goes by them. Default false. */
  readonly replace?: boolean
  /** Whether `digest` and `listCells` are there. Default false. */
  readonly digest?: boolean
  /** Whether its partitions have `snapshot`, so that it is checked at the markers of the log. Needs `digest`. Default false. */
  readonly snapshot?: boolean
  /** Whether new versions of the target can be built beside the present one. Default false. */
  readonly versions?: boolean
  /** How many `apply` calls of one partition may run at the same time; their keys never overlap. */
  readonly concurrency: number
  /** The most changes, and the most bytes of payload, that one `apply` should be given. */
  readonly batch: { readonly changes: number; readonly bytes: number }
}

/** The right to write to one partition of a sink. Ordered by epoch, then token; the owner only tells equals apart. */
export interface Fence {
  readonly epoch: number
  readonly token: number
  readonly owner: string
}

export interface OpenPartitionOptions {
  /**
   * The log's identity, unchanged over failovers and restores. Stamps of two logs have no order, so a target that was
   * ever opened with another lineage, in whatever group or partition, is refused with `SINK_MISCONFIGURED`.
   */
  readonly lineage: string
  /** The group's name: two groups may share a target only under different names. */
  readonly group: string
  readonly partition: number
  readonly fence: Fence
  readonly signal?: AbortSignal
}

export interface SinkPartition {
  /** The position that was stored last, or undefined when this lineage, group and partition never stored one. */
  readonly position: SinkPosition | undefined
  /**
   * Applies changes of this partition, at most one of each key. `position` is what may be stored with them.
   * @returns one outcome per change
   */
  apply(
    changes: readonly Change[],
    position: SinkPosition,
    options: { signal: AbortSignal },
  ): Promise<readonly Outcome[]>
  /**
   * Looks at the sums of the partition's live rows between two calls of `apply`: resolves as soon as later calls cannot
   * change what they come to. Only where `capabilities.snapshot`.
   */
  snapshot?(): Promise<PartitionSnapshot>
  /** Stores a position without changes: when the partition has gone idle, and before it is handed over. */
  advance(position: SinkPosition): Promise<void>
  /** The worker stops using the partition. Does not take back the fence: the next owner's is greater. */
  close(): Promise<void>
}

/** The content hashes of a partition's live rows, summed up as they were at one moment. */
export interface PartitionSnapshot {
  /** By bucket, modulo 2^64; a bucket without rows may be left out. */
  readonly sums: Promise<ReadonlyMap<number, bigint>>
  /**
   * Where the sums are kept as changes are applied, instead of added up: adds up the rows as they are now, and keeps that
   * from now on. The caller sees to it that nothing is applied meanwhile.
   */
  readonly recount?: () => Promise<ReadonlyMap<number, bigint>>
}

/** Everything up to this stamp of the partition was applied, superseded or parked. */
export interface SinkPosition extends Stamp {
  /** Tells branches of the history apart that began with copies of the log. At most 40 characters of [0-9a-f]. */
  readonly branch: string
}

/** A row's bookkeeping, for comparison. */
export interface SinkRow {
  readonly key: string
  readonly deleted: boolean
  readonly stamp: Stamp
  /** 0 for a tombstone. */
  readonly hash: bigint
}

/** A row with its content, read back from the user's own columns or fields. */
export interface SinkValue extends SinkRow {
  /** `undefined` for a tombstone. */
  readonly value: unknown
  /** Opaque: another one as soon as anything that is stored of the key is another. Where `capabilities.replace`. */
  readonly mark?: string
}

/** What is to stand in place of what was seen. */
export interface Replacement {
  readonly key: string
  /** The partition of the log that the key belongs to. */
  readonly partition: number
  /** As `read` gave it; undefined when it gave nothing. */
  readonly observed: SinkValue | undefined
  /** What the key is to hold, a delete included; undefined to forget the key, and every trace of it. */
  readonly change: Change | undefined
}

export type ReplaceOutcome =
  | { readonly kind: 'replaced' }
  /** Something else stands there by now: look again. */
  | { readonly kind: 'changed' }
  /** The sink can never hold this change. */
  | { readonly kind: 'reject'; readonly error: HeadwaterError }
