import type { FaultyLink } from '@headwater/conformance'
import {
  applied,
  compareStamps,
  HeadwaterError,
  readablePayload,
  stale,
  type CellName,
  type CellsQuery,
  type Change,
  type Collection,
  type DigestCell,
  type DigestQuery,
  type Fence,
  type OpenPartitionOptions,
  type Outcome,
  type PartitionSnapshot,
  type Replacement,
  type ReplaceOutcome,
  type Sink,
  type SinkCapabilities,
  type SinkPartition,
  type SinkPosition,
  type SinkRow,
  type SinkValue,
} from '@headwater/core'

export interface Row extends SinkValue {
  readonly version: string
  readonly partition: number
  readonly bucket: number
}

export interface Ledger {
  fence: Fence | undefined
  position: SinkPosition | undefined
}

export interface AdvanceCall {
  readonly ledger: Ledger
  readonly fence: Fence
  readonly position: SinkPosition
}

export interface ApplyCall extends AdvanceCall {
  readonly changes: readonly Change[]
}

/** The server of a pliable sink. What runs in one request is one atomic step. */
export class PliableTarget {
  readonly rows = new Map<string, Row>()
  readonly ledgers = new Map<string, Ledger>()
  lineage: string | undefined
  isClientOpen = true
}

/** The way to a target, which loses requests and replies on demand. */
export class Wire implements FaultyLink {
  #fault: { point: 'request' | 'reply'; toPass: number; happened: () => void } | undefined

  loseRequest(_request: () => boolean, { nth }: { nth: number }): Promise<void> {
    return this.#arm('request', nth)
  }

  loseReply(_request: () => boolean, { nth }: { nth: number }): Promise<void> {
    return this.#arm('reply', nth)
  }

  async request<T>(execute: () => T): Promise<T> {
    await nextTurn()
    const fault = this.#fault && this.#fault.toPass-- === 0 ? this.#fault : undefined
    if (fault?.point === 'request') this.#break(fault.happened)
    const reply = execute()
    await nextTurn()
    if (fault) this.#break(fault.happened)
    return reply
  }

  #arm(point: 'request' | 'reply', nth: number): Promise<void> {
    return new Promise((happened) => {
      this.#fault = { point, toPass: nth - 1, happened }
    })
  }

  #break(happened: () => void): never {
    this.#fault = undefined
    happened()
    throw new Error('The link was cut.')
  }
}

/** A sink that keeps the contract, each rule in a method of its own, so that a subclass can break just that one. */
export class PliableSink implements Sink {
  readonly name = 'pliable sink'
  readonly collection: Collection
  readonly capabilities: SinkCapabilities = {
    transactions: true,
    list: true,
    read: true,
    replace: true,
    digest: true,
    snapshot: true,
    concurrency: 2,
    batch: { changes: 200, bytes: 100_000 },
  }
  protected readonly target: PliableTarget
  protected readonly wire: Wire
  protected readonly holdsNul: boolean

  constructor(collection: Collection, target: PliableTarget, wire: Wire, holdsNul: boolean) {
    this.collection = collection
    this.target = target
    this.wire = wire
    this.holdsNul = holdsNul
  }

  async prepare(): Promise<void> {}

  async open({ lineage, group, partition, fence }: OpenPartitionOptions): Promise<SinkPartition> {
    const ledger = this.ledgerOf(group, partition)
    const position = await this.takeOver(ledger, lineage, fence)
    return {
      position,
      apply: (changes, position) => this.apply({ ledger, fence, changes, position }),
      advance: (position) => this.advance({ ledger, fence, position }),
      snapshot: () => this.snapshot(partition),
      close: async () => {},
    }
  }

  async *list(): AsyncIterable<SinkRow> {
    for (const { key, deleted, stamp, hash } of this.target.rows.values()) yield { key, deleted, stamp, hash }
  }

  async read(keys: readonly string[]): Promise<(SinkValue | undefined)[]> {
    return keys.map((key) => {
      const held = this.target.rows.get(this.rowKey(key))
      return held && { ...held, mark: markOf(held) }
    })
  }

  async digest({ depth, within }: DigestQuery): Promise<DigestCell[]> {
    const inside = within?.map(nameOf)
    const cells = new Map<string, DigestCell>()
    for (const row of this.counted()) {
      if (inside && !inside.includes(nameOf(cellOf(row, depth - 1)))) continue
      const cell = cellOf(row, depth)
      const { count, sum } = cells.get(nameOf(cell)) ?? { count: 0, sum: 0n }
      cells.set(nameOf(cell), { ...cell, count: count + 1, sum: BigInt.asUintN(64, sum + row.hash) })
    }
    return [...cells.values()]
  }

  async *listCells({ depth, cells }: CellsQuery): AsyncIterable<SinkRow> {
    const names = cells.map(nameOf)
    for (const row of this.counted()) if (names.includes(nameOf(cellOf(row, depth)))) yield row
  }

  protected async snapshot(partition: number): Promise<PartitionSnapshot> {
    return { sums: Promise.resolve(this.snapshotOf(partition)) }
  }

  protected snapshotOf(partition: number): Map<number, bigint> {
    const sums = new Map<number, bigint>()
    for (const row of this.counted()) {
      if (row.partition === partition) sums.set(row.bucket, (sums.get(row.bucket) ?? 0n) + row.hash)
    }
    return sums
  }

  protected counted(): Row[] {
    return [...this.target.rows.values()].filter(({ deleted }) => !deleted)
  }

  async replace(replacements: readonly Replacement[]): Promise<readonly ReplaceOutcome[]> {
    return await Promise.all(
      replacements.map((each) =>
        this.wire.request(() => {
          if (!this.isAsSeen(each)) return { kind: 'changed' } as const
          this.replaceOne(each)
          return { kind: 'replaced' } as const
        }),
      ),
    )
  }

  protected isAsSeen({ key, observed }: Replacement): boolean {
    const held = this.target.rows.get(this.rowKey(key))
    return (held && markOf(held)) === observed?.mark
  }

  protected replaceOne({ key, change }: Replacement): void {
    if (change) this.target.rows.set(this.rowKey(key), this.rowOf(change, undefined))
    else this.target.rows.delete(this.rowKey(key))
  }

  async close(): Promise<void> {}

  protected async takeOver(ledger: Ledger, lineage: string, fence: Fence): Promise<SinkPosition | undefined> {
    return this.wire.request(() => {
      this.takeLineage(lineage)
      this.takeFence(ledger, fence)
      return ledger.position
    })
  }

  protected takeLineage(lineage: string): void {
    this.target.lineage ??= lineage
    if (this.target.lineage !== lineage)
      throw new HeadwaterError('SINK_MISCONFIGURED', 'Data of another log.')
  }

  protected takeFence(ledger: Ledger, fence: Fence): void {
    if (ledger.fence && !this.mayFollow(ledger.fence, fence))
      throw new HeadwaterError('SINK_FENCED', 'Too late.')
    ledger.fence = fence
  }

  protected mayFollow(held: Fence, fence: Fence): boolean {
    const order = fence.epoch - held.epoch || fence.token - held.token
    return order > 0 || (order === 0 && fence.owner === held.owner)
  }

  protected checkFence(ledger: Ledger, { epoch, token, owner }: Fence): void {
    const { fence } = ledger
    if (fence?.epoch !== epoch || fence.token !== token || fence.owner !== owner) {
      throw new HeadwaterError('SINK_FENCED', 'Somebody else opened the partition.')
    }
  }

  protected async apply({ ledger, fence, changes, position }: ApplyCall): Promise<readonly Outcome[]> {
    return this.wire.request(() => {
      this.checkFence(ledger, fence)
      const outcomes = this.write(changes)
      this.store(ledger, position)
      return outcomes
    })
  }

  protected async advance({ ledger, fence, position }: AdvanceCall): Promise<void> {
    await this.wire.request(() => {
      this.checkFence(ledger, fence)
      this.store(ledger, position)
    })
  }

  protected store(ledger: Ledger, position: SinkPosition): void {
    if (!ledger.position || compareStamps(position, ledger.position) > 0) ledger.position = position
  }

  protected write(changes: readonly Change[]): readonly Outcome[] {
    for (const change of changes) this.checkHoldable(change)
    return changes.map((change) => this.writeOne(change))
  }

  protected checkHoldable(change: Change): void {
    const payload = readablePayload(change)
    if (this.holdsNul || !(change.key.includes('\0') || hasNul(payload))) return
    throw new HeadwaterError('SINK_REJECTED', 'This target cannot hold U+0000.')
  }

  protected writeOne(change: Change): Outcome {
    const held = this.target.rows.get(this.rowKey(change.key))
    if (held && !this.isNewer(change, held)) return stale
    this.target.rows.set(this.rowKey(change.key), this.rowOf(change, held))
    return applied
  }

  protected isNewer({ stamp }: Change, held: Row): boolean {
    return compareStamps(stamp, held.stamp) > 0
  }

  protected rowOf(change: Change, held: Row | undefined): Row {
    const { key, kind, stamp, hash, version, partition, bucket, payload } = change
    const value = kind === 'put' ? this.valueOf(payload, held?.value) : undefined
    return { key, deleted: kind === 'delete', stamp, hash, version, partition, bucket, value }
  }

  protected valueOf(payload: string, _held: unknown): unknown {
    return JSON.parse(payload)
  }

  protected rowKey(key: string): string {
    return key
  }

  protected ledgerOf(group: string, partition: number): Ledger {
    const id = this.ledgerId(group, partition)
    let ledger = this.target.ledgers.get(id)
    if (!ledger) this.target.ledgers.set(id, (ledger = { fence: undefined, position: undefined }))
    return ledger
  }

  protected ledgerId(group: string, partition: number): string {
    return `${group} ${partition}`
  }
}

function cellOf({ partition, bucket, hash }: Row, depth: number): CellName {
  return { partition, bucket, low: Number(hash % 16n ** BigInt(depth)) }
}

function nameOf({ partition, bucket, low }: CellName): string {
  return [partition, bucket, low].join()
}

function markOf({ deleted, stamp, hash, value }: SinkValue): string {
  return JSON.stringify([deleted, stamp.epoch, stamp.sequence, String(hash), value])
}

/** An escaped U+0000, and not the text of its escape. */
export function hasNul(payload: string): boolean {
  return /(?<!\\)(?:\\\\)*\\u0000/.test(payload)
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
