import { sinkClaims, type Book, type SinkClaim, type SinkHarness } from '@headwater/conformance'
import {
  applied,
  compareStamps,
  HeadwaterError,
  parseVersion,
  reject,
  stampZero,
  type CellsQuery,
  type Change,
  type Fence,
  type Outcome,
  type PartitionSnapshot,
  type Replacement,
  type SinkPosition,
  type SinkRow,
  type SinkValue,
} from '@headwater/core'
import { describe, expect, it } from 'vitest'
import {
  hasNul,
  PliableSink,
  PliableTarget,
  Wire,
  type AdvanceCall,
  type ApplyCall,
  type Ledger,
  type Row,
} from './pliable-sink.ts'

interface Flaw {
  readonly sink: typeof PliableSink
  /** The claims that must fail, by their beginnings. */
  readonly refutes: readonly string[]
  /** Default true. */
  readonly nul?: boolean
}

/** Reads JSON, and spoils every value in it. */
function parse(payload: string, spoil: (value: unknown) => unknown): unknown {
  return JSON.parse(payload, (_name, value) => spoil(value))
}

/** Text as a naive adapter compares what its driver gives it. */
const asText = (...numbers: number[]) => numbers.join('-')

/** Targets that have an apply running. */
const locked = new Set<PliableTarget>()

const flaws: Record<string, Flaw> = {
  'shows its bookkeeping to users': {
    sink: class extends PliableSink {
      protected override valueOf(payload: string): unknown {
        return { value: super.valueOf(payload, undefined), format: 1 }
      }
    },
    refutes: ["shows the user's own data"],
  },
  'stores payloads without a look at them': {
    sink: class extends PliableSink {
      protected override checkHoldable(): void {}
      protected override valueOf(payload: string): unknown {
        try {
          return JSON.parse(payload)
        } catch {
          return payload
        }
      }
    },
    refutes: ['rejects a change whose payload is no JSON', 'rejects a key'],
  },
  'merges an update into what it holds': {
    sink: class extends PliableSink {
      protected override valueOf(payload: string, held: unknown): unknown {
        return { ...(held as object | undefined), ...(JSON.parse(payload) as object) }
      }
    },
    refutes: ['replaces the whole value'],
  },
  'skips the delete of a key that it does not have': {
    sink: class extends PliableSink {
      protected override writeOne(change: Change): Outcome {
        if (change.kind === 'delete' && !this.target.rows.has(change.key)) return applied
        return super.writeOne(change)
      }
    },
    refutes: ['deletes a key that it never saw', 'remembers deleted keys'],
  },
  'takes an equal stamp again': {
    sink: class extends PliableSink {
      protected override isNewer({ stamp }: Change, held: Row): boolean {
        return compareStamps(stamp, held.stamp) >= 0
      }
    },
    refutes: ['answers stale to a duplicate'],
  },
  'remembers stamps in its process only': {
    sink: class extends PliableSink {
      readonly #seen = new Set<string>()
      protected override isNewer(change: Change, held: Row): boolean {
        return !this.#seen.has(change.key) || super.isNewer(change, held)
      }
      protected override rowOf(change: Change, held: Row | undefined): Row {
        this.#seen.add(change.key)
        return super.rowOf(change, held)
      }
    },
    refutes: [
      'stays as it is when everything is delivered again',
      'never goes back',
      'ends in the same state',
    ],
  },
  'forgets the order: the last delivery wins': {
    sink: class extends PliableSink {
      protected override isNewer(): boolean {
        return true
      }
    },
    refutes: ['answers stale to a duplicate', 'never goes back', 'ends in the same state'],
  },
  'keeps no tombstones': {
    sink: class extends PliableSink {
      protected override writeOne(change: Change): Outcome {
        const outcome = super.writeOne(change)
        if (this.target.rows.get(change.key)?.deleted) this.target.rows.delete(change.key)
        return outcome
      }
    },
    refutes: [
      'remembers deleted keys',
      'ends in the same state',
      'lists every row once',
      'reads keys in the order',
    ],
  },
  'compares versions instead of stamps': {
    sink: class extends PliableSink {
      protected override isNewer({ version }: Change, held: Row): boolean {
        return parseVersion(version).number > parseVersion(held.version).number
      }
    },
    refutes: ['lets a later epoch win', 'ends in the same state'],
  },
  'compares sequences and forgets the epoch': {
    sink: class extends PliableSink {
      protected override isNewer({ stamp }: Change, held: Row): boolean {
        return stamp.sequence > held.stamp.sequence
      }
    },
    refutes: ['lets a later epoch win', 'compares stamps as numbers', 'ends in the same state'],
  },
  'compares stamps as one number': {
    sink: class extends PliableSink {
      protected override isNewer({ stamp }: Change, held: Row): boolean {
        return stamp.epoch * 2 ** 48 + stamp.sequence > held.stamp.epoch * 2 ** 48 + held.stamp.sequence
      }
    },
    refutes: ['compares stamps as numbers'],
  },
  'compares stamps as text': {
    sink: class extends PliableSink {
      protected override isNewer({ stamp }: Change, held: Row): boolean {
        return asText(stamp.epoch, stamp.sequence) > asText(held.stamp.epoch, held.stamp.sequence)
      }
    },
    refutes: ['compares stamps as numbers'],
  },
  'rounds hashes to doubles': {
    sink: class extends PliableSink {
      protected override rowOf(change: Change, held: Row | undefined): Row {
        return { ...super.rowOf(change, held), hash: BigInt(Number(change.hash)) }
      }
    },
    refutes: ['compares stamps as numbers', "shows the user's own data"],
  },
  'does not ask for the fence when it applies': {
    sink: class extends PliableSink {
      protected override async apply(call: ApplyCall) {
        return super.apply({ ...call, fence: call.ledger.fence! })
      }
    },
    refutes: ['refuses apply and advance'],
  },
  'does not ask for the fence when it advances': {
    sink: class extends PliableSink {
      protected override async advance(call: AdvanceCall) {
        return super.advance({ ...call, fence: call.ledger.fence! })
      }
    },
    refutes: ['refuses apply and advance'],
  },
  'checks the fence first and writes later': {
    sink: class extends PliableSink {
      protected override async advance({ ledger, fence, position }: AdvanceCall) {
        await this.wire.request(() => this.checkFence(ledger, fence))
        await this.wire.request(() => this.store(ledger, position))
      }
    },
    refutes: ['writes its fence before'],
  },
  'reads the position before it writes its fence': {
    sink: class extends PliableSink {
      protected override async takeOver(ledger: Ledger, lineage: string, fence: Fence) {
        const { position } = ledger
        await super.takeOver(ledger, lineage, fence)
        return position
      }
    },
    refutes: ['writes its fence before'],
  },
  'lets anybody open': {
    sink: class extends PliableSink {
      protected override mayFollow(): boolean {
        return true
      }
    },
    refutes: ['refuses to open with an older fence', 'refuses to open with an equal token'],
  },
  'compares fences as text': {
    sink: class extends PliableSink {
      protected override mayFollow(held: Fence, fence: Fence): boolean {
        return asText(fence.epoch, fence.token) >= asText(held.epoch, held.token)
      }
    },
    refutes: ['refuses to open with an older fence'],
  },
  'forgets the epoch of fences': {
    sink: class extends PliableSink {
      protected override mayFollow(held: Fence, fence: Fence): boolean {
        return fence.token > held.token || (fence.token === held.token && fence.owner === held.owner)
      }
    },
    refutes: ['refuses to open with an older fence'],
  },
  'lets only newer fences open': {
    sink: class extends PliableSink {
      protected override mayFollow(held: Fence, fence: Fence): boolean {
        return super.mayFollow(held, fence) && fence.token !== held.token
      }
    },
    refutes: ['opens again for the same owner'],
  },
  'mixes up groups': {
    sink: class extends PliableSink {
      protected override ledgerId(_group: string, partition: number): string {
        return String(partition)
      }
    },
    refutes: [
      'keeps the fences of partitions and of groups apart',
      'keeps the positions of partitions and of groups',
    ],
  },
  'mixes up partitions': {
    sink: class extends PliableSink {
      protected override ledgerId(group: string): string {
        return group
      }
    },
    refutes: ['keeps the fences of partitions and of groups apart', 'takes as many calls at a time'],
  },
  'runs group and partition together': {
    sink: class extends PliableSink {
      protected override ledgerId(group: string, partition: number): string {
        return `${group}${partition}`
      }
    },
    refutes: ['keeps the positions of partitions and of groups'],
  },
  'stores a position that claims the batch too': {
    sink: class extends PliableSink {
      protected override async apply(call: ApplyCall) {
        const { position, changes } = call
        const sequence = position.sequence + changes.at(-1)!.stamp.sequence
        return super.apply({ ...call, position: { ...position, sequence } })
      }
    },
    refutes: [
      'stores the position with the changes',
      'has each change whole or not at all when its link breaks before an',
    ],
  },
  'stores no position when all changes are stale': {
    sink: class extends PliableSink {
      protected override async apply(call: ApplyCall) {
        const held = call.ledger.position
        const outcomes = await super.apply(call)
        if (!outcomes.includes(applied)) call.ledger.position = held
        return outcomes
      }
    },
    refutes: ['stores the position with the changes'],
  },
  'stores positions with changes only': {
    sink: class extends PliableSink {
      protected override async advance() {}
    },
    refutes: ['stores a position without changes'],
  },
  'moves the position to wherever it is told': {
    sink: class extends PliableSink {
      protected override store(ledger: Ledger, position: SinkPosition): void {
        ledger.position = position
      }
    },
    refutes: ['never moves the position back'],
  },
  'keeps positions in 32 bits': {
    sink: class extends PliableSink {
      protected override store(ledger: Ledger, position: SinkPosition): void {
        super.store(ledger, { ...position, sequence: position.sequence >>> 0 })
      }
    },
    refutes: ['holds positions up to the ends'],
  },
  'takes the branch for a number': {
    sink: class extends PliableSink {
      protected override store(ledger: Ledger, position: SinkPosition): void {
        const number = Number(position.branch)
        super.store(ledger, { ...position, branch: String(number || position.branch) })
      }
    },
    refutes: ['holds positions up to the ends'],
  },
  'takes over the data of another log': {
    sink: class extends PliableSink {
      protected override takeLineage(): void {}
    },
    refutes: ['refuses to open a target that holds data of another log'],
  },
  'sends changes one by one and declares transactions': {
    sink: class extends PliableSink {
      protected override async apply(call: ApplyCall) {
        const outcomes: Outcome[] = []
        for (const change of call.changes)
          outcomes.push(...(await super.apply({ ...call, changes: [change] })))
        return outcomes
      }
    },
    refutes: [
      'has each change whole or not at all when its link breaks before a request',
      'has each change whole or not at all when its link breaks before an answer',
    ],
  },
  'stores the position in a request of its own': {
    sink: class extends PliableSink {
      protected override async apply(call: ApplyCall) {
        const outcomes = await super.apply({ ...call, position: { ...stampZero, branch: '' } })
        await this.advance(call)
        return outcomes
      }
    },
    refutes: ['has each change whole or not at all when its link breaks before a request'],
  },
  'writes the stamp before the value': {
    sink: class extends PliableSink {
      protected override async apply(call: ApplyCall) {
        const values = new Map([...this.target.rows].map(([key, { value }]) => [key, value]))
        const outcomes = await super.apply(call)
        const written = call.changes.map(({ key }) => this.target.rows.get(key)!)
        for (const row of written) this.target.rows.set(row.key, { ...row, value: values.get(row.key) })
        await this.wire.request(() => {
          for (const row of written) this.target.rows.set(row.key, row)
        })
        return outcomes
      }
    },
    refutes: [
      'has each change whole or not at all when its link breaks before a request',
      'recovers by itself when a request was lost',
    ],
  },
  'answers before it is sure': {
    sink: class extends PliableSink {
      protected override async apply(call: ApplyCall) {
        try {
          return await super.apply(call)
        } catch (error) {
          if (error instanceof HeadwaterError) throw error
          return call.changes.map(() => applied)
        }
      }
    },
    refutes: [
      'has each change whole or not at all when its link breaks before a request',
      'recovers by itself when a request',
    ],
  },
  'never connects again': {
    sink: class extends PliableSink {
      #broken = false
      protected override async apply(call: ApplyCall) {
        if (this.#broken) throw new Error('The connection is gone.')
        try {
          return await super.apply(call)
        } catch (error) {
          this.#broken = true
          throw error
        }
      }
    },
    refutes: ['recovers by itself when a request', 'recovers by itself when an answer'],
  },
  'folds the case of keys': {
    sink: class extends PliableSink {
      protected override rowKey(key: string): string {
        return key.toLowerCase()
      }
    },
    refutes: ['keeps strange keys apart'],
  },
  'ends keys at U+0000': {
    sink: class extends PliableSink {
      protected override rowKey(key: string): string {
        return key.split('\0')[0]!
      }
    },
    refutes: ['keeps strange keys apart'],
  },
  'keeps keys in an object': {
    sink: class extends PliableSink {
      readonly #known: Record<string, true> = {}
      protected override isNewer(change: Change, held: Row): boolean {
        return super.isNewer(change, held)
      }
      protected override writeOne(change: Change): Outcome {
        if (change.key in this.#known && !this.target.rows.has(change.key)) return applied
        this.#known[change.key] = true
        return super.writeOne(change)
      }
    },
    refutes: ['keeps strange keys apart'],
  },
  'cuts texts at 64 KiB': {
    sink: class extends PliableSink {
      protected override valueOf(payload: string): unknown {
        return parse(payload, (value) => (typeof value === 'string' ? value.slice(0, 65_536) : value))
      }
    },
    refutes: ['holds values of 900 KiB'],
  },
  'takes null for absent': {
    sink: class extends PliableSink {
      protected override valueOf(payload: string): unknown {
        return parse(payload, (value) => value ?? undefined)
      }
    },
    refutes: ['keeps apart what languages like to confuse', "shows the user's own data"],
  },
  'takes an empty list for an empty object': {
    sink: class extends PliableSink {
      protected override valueOf(payload: string): unknown {
        return parse(payload, (value) => (Array.isArray(value) && value.length === 0 ? {} : value))
      }
    },
    refutes: ['keeps apart what languages like to confuse', 'gives back exactly the free JSON'],
  },
  'keeps numbers in 32 bits': {
    sink: class extends PliableSink {
      protected override valueOf(payload: string): unknown {
        return parse(payload, (value) => (typeof value === 'number' ? Math.fround(value) : value))
      }
    },
    refutes: ['gives back exactly the typed values', 'gives back exactly the free JSON'],
  },
  'keeps dates to the millisecond': {
    sink: class extends PliableSink {
      protected override valueOf(payload: string): unknown {
        const value = JSON.parse(payload) as Book
        return { ...value, publishedAt: new Date(value.publishedAt).toISOString() }
      }
    },
    refutes: ['gives back exactly the typed values'],
  },
  'rejects the neighbours of what it cannot hold': {
    nul: false,
    sink: class extends PliableSink {
      protected override write(changes: readonly Change[]): readonly Outcome[] {
        try {
          return super.write(changes)
        } catch (error) {
          return changes.map(() => reject(error as HeadwaterError))
        }
      }
    },
    refutes: ['rejects a change that it can never hold', 'rejects a key that it can never hold'],
  },
  'asks to try again what it can never hold': {
    nul: false,
    sink: class extends PliableSink {
      protected override checkHoldable({ key, payload }: Change): void {
        if (key.includes('\0') || hasNul(payload)) throw new Error('Invalid byte.')
      }
    },
    refutes: ['rejects a change that it can never hold', 'rejects a key that it can never hold'],
  },
  'lists rows of its first thousand only': {
    sink: class extends PliableSink {
      override async *list(): AsyncIterable<SinkRow> {
        let count = 0
        for await (const row of super.list()) if (count++ < 1_000) yield row
      }
    },
    refutes: ['lists every row once'],
  },
  'lists rows twice': {
    sink: class extends PliableSink {
      override async *list(): AsyncIterable<SinkRow> {
        yield* super.list()
        yield* super.list()
      }
    },
    refutes: ['lists every row once'],
  },
  'reads each key once, in its own order': {
    sink: class extends PliableSink {
      override async read(keys: readonly string[]): Promise<(SinkValue | undefined)[]> {
        const values = await super.read([...new Set(keys)].toSorted())
        return keys.map((_key, index) => values[index])
      }
    },
    refutes: ['reads keys in the order asked'],
  },
  'declares less than it is expected to': {
    sink: class extends PliableSink {
      override readonly capabilities = {
        transactions: false,
        list: true,
        read: true,
        concurrency: 1,
        batch: { changes: 10, bytes: 1_000 },
      }
    },
    refutes: ['declares what it is expected to support'],
  },
  'fails at the batches that it asks for': {
    sink: class extends PliableSink {
      protected override write(changes: readonly Change[]): readonly Outcome[] {
        if (changes.length > 150) throw new Error('Too many parameters.')
        return super.write(changes)
      }
    },
    refutes: ['takes a batch as large as it declares'],
  },
  'mixes up calls that run at the same time': {
    sink: class extends PliableSink {
      #changes: readonly Change[] = []
      protected override async apply(call: ApplyCall) {
        this.#changes = call.changes
        await this.wire.request(() => {})
        return super.apply({ ...call, changes: this.#changes })
      }
    },
    refutes: ['takes as many calls at a time as it declares'],
  },
  'never recovers from a deadlock': {
    sink: class extends PliableSink {
      #deadlocked = false
      protected override async apply(call: ApplyCall) {
        this.#deadlocked ||= locked.has(this.target)
        if (this.#deadlocked) throw new Error('Deadlock detected.')
        locked.add(this.target)
        try {
          return await super.apply(call)
        } finally {
          locked.delete(this.target)
        }
      }
    },
    refutes: ['serves two groups'],
  },
  'empties its target when it prepares it': {
    sink: class extends PliableSink {
      override async prepare(): Promise<void> {
        this.target.rows.clear()
      }
    },
    refutes: ['prepares its target as often as it is asked'],
  },
  'puts right only with what is newer': {
    sink: class extends PliableSink {
      protected override replaceOne(replacement: Replacement): void {
        const held = this.target.rows.get(replacement.key)
        if (held && replacement.change && !this.isNewer(replacement.change, held)) return
        super.replaceOne(replacement)
      }
    },
    refutes: ['replaces what was seen', 'replaces a row with a delete'],
  },
  'keeps a tombstone of what it is to forget': {
    sink: class extends PliableSink {
      protected override replaceOne(replacement: Replacement): void {
        const held = this.target.rows.get(replacement.key)
        super.replaceOne(replacement)
        if (held && !replacement.change) {
          this.target.rows.set(held.key, { ...held, deleted: true, hash: 0n, value: undefined })
        }
      }
    },
    refutes: ['forgets a row and a tombstone'],
  },
  'puts right whatever stands there': {
    sink: class extends PliableSink {
      protected override isAsSeen(): boolean {
        return true
      }
    },
    refutes: ['leaves a key alone', 'answers each replacement by itself'],
  },
  'puts right what it looked at some time before': {
    sink: class extends PliableSink {
      override async replace(replacements: readonly Replacement[]) {
        const asSeen = replacements.map((each) => this.isAsSeen(each))
        for (let turn = 0; turn < 5; turn++) await this.wire.request(() => {})
        return replacements.map((each, index) => {
          if (asSeen[index]) this.replaceOne(each)
          return { kind: asSeen[index] ? ('replaced' as const) : ('changed' as const) }
        })
      }
    },
    refutes: ['loses nothing when a worker applies'],
  },
  'counts deleted rows in its digests': {
    sink: class extends PliableSink {
      protected override counted(): Row[] {
        return [...this.target.rows.values()]
      }
    },
    refutes: ['sums up its live rows'],
  },
  'adds the rows of other partitions to its snapshots': {
    sink: class extends PliableSink {
      protected override snapshotOf(): Map<number, bigint> {
        return new Map([0, 1].flatMap((partition) => [...super.snapshotOf(partition)]))
      }
    },
    refutes: ['keeps in step'],
  },
  'adds up its rows when somebody asks for the sums': {
    sink: class extends PliableSink {
      protected override async snapshot(partition: number): Promise<PartitionSnapshot> {
        const sums = (): Promise<Map<number, bigint>> => Promise.resolve(this.snapshotOf(partition))
        return {
          get sums() {
            return sums()
          },
        }
      }
    },
    refutes: ['keeps out of a snapshot'],
  },
  'lists the rows of the whole bucket': {
    sink: class extends PliableSink {
      override listCells({ cells }: CellsQuery) {
        return super.listCells({ depth: 0, cells: cells.map((cell) => ({ ...cell, low: 0 })) })
      }
    },
    refutes: ['lists exactly the live rows'],
  },
  'closes the client that it was given': {
    sink: class extends PliableSink {
      override async close(): Promise<void> {
        this.target.isClientOpen = false
      }
    },
    refutes: ['can be closed twice'],
  },
  'cannot be closed twice': {
    sink: class extends PliableSink {
      #closed = false
      override async close(): Promise<void> {
        if (this.#closed) throw new Error('Called end on pool more than once')
        this.#closed = true
      }
    },
    refutes: ['can be closed twice'],
  },
}

function harness({ sink: SinkClass, nul = true }: Omit<Flaw, 'refutes'>): SinkHarness {
  return {
    supports: {
      transactions: true,
      list: true,
      read: true,
      replace: true,
      digest: true,
      snapshot: true,
      nul,
    },
    runs: 50,
    patienceMs: 200,
    async open(collection) {
      const target = new PliableTarget()
      const sinkOn = (wire: Wire) => new SinkClass(collection, target, wire, nul)
      return {
        sink: sinkOn(new Wire()),
        another: async () => sinkOn(new Wire()),
        async faulty() {
          const link = new Wire()
          return { sink: sinkOn(link), link }
        },
        async dump() {
          if (!target.isClientOpen) throw new Error('The client is closed.')
          return new Map(
            [...target.rows.values()].filter((row) => !row.deleted).map((row) => [row.key, row.value]),
          )
        },
        close: async () => {},
      }
    },
  }
}

function claimsThatBegin(beginnings: readonly string[]): SinkClaim[] {
  return beginnings.map((beginning) => {
    const found = sinkClaims.filter(({ claim }) => claim.startsWith(beginning))
    expect(found, `claims that begin with "${beginning}"`).toHaveLength(1)
    return found[0]!
  })
}

/** As `it.each` prints them. */
function rows(claims: readonly SinkClaim[]) {
  return claims.map(({ claim, run }) => [claim, run] as const)
}

describe('the conformance kit', () => {
  describe.each([true, false])('finds that a sound sink (U+0000: %s)', (nul) => {
    const sound = harness({ sink: PliableSink, nul })
    it.each(rows(sinkClaims.filter(({ concerns }) => concerns?.(sound) ?? true)))(
      '%s',
      async (_claim, run) => {
        await expect(run(sound)).resolves.toBeUndefined()
      },
    )
  })

  describe.each(Object.entries(flaws))('denies a sink that %s', (_flaw, flaw) => {
    it.each(rows(claimsThatBegin(flaw.refutes)))('that it %s', async (_claim, run) => {
      await expect(run(harness(flaw))).rejects.toBeInstanceOf(Error)
    })
  })

  it('claims nothing that all of these sinks do', () => {
    const refuted = new Set(Object.values(flaws).flatMap(({ refutes }) => claimsThatBegin(refutes)))
    expect(sinkClaims.filter((claim) => !refuted.has(claim)).map(({ claim }) => claim)).toEqual([])
  })
})
