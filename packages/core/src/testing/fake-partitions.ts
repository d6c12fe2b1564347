import type { AppendTarget } from '../append/lanes.ts'
import { parseStoredResult, type Verdict } from '../append/append-script.ts'
import { settleRequest } from '../append/batcher.ts'
import { locate, type Router } from '../append/prepare.ts'
import type { PreparedChange, PreparedRequest } from '../append/prepared.ts'
import { decodeBatch, type Batch, type BatchContext } from '../change/batch.ts'
import { checkKey } from '../change/key.ts'
import type { ChangeKind } from '../change/change.ts'
import { parseVersion } from '../change/version.ts'
import type { AnyCollection } from '../collection/collection.ts'
import type { RecordReader } from '../state/record-reader.ts'
import type { StateRecord } from '../state/state-record.ts'

const kinds: Readonly<Record<string, ChangeKind>> = { p: 'put', d: 'delete', e: 'event' }

interface Partition {
  readonly batches: Batch[]
  /** By collection and key. */
  readonly records: Map<string, StateRecord>
  /** By idempotency field, as the append script keeps them. */
  readonly results: Map<string, string>
}

/** What the append script does, in memory: one epoch, no failures, every request a batch of its own. */
export class FakePartitions implements AppendTarget, RecordReader {
  readonly #router: Router
  readonly #context: BatchContext
  readonly #now: () => number
  readonly #partitions: readonly Partition[]
  readonly #running = new Set<Promise<void>>()

  constructor(router: Router, context: BatchContext, now: () => number) {
    this.#router = router
    this.#context = context
    this.#now = now
    this.#partitions = Array.from({ length: router.partitions }, () => ({
      batches: [],
      records: new Map<string, StateRecord>(),
      results: new Map<string, string>(),
    }))
  }

  batches(partition: number): readonly Batch[] {
    return this.#partitions[partition]!.batches
  }

  store(_replicas: number, partition: number, request: PreparedRequest): void {
    // Later, as a real log answers later; in the order in which they came.
    const running = Promise.resolve().then(() => {
      this.#running.delete(running)
      settleRequest(partition, request, this.#decide(this.#partitions[partition]!, partition, request))
    })
    this.#running.add(running)
  }

  async recall(partition: number, idempotencyField: string): Promise<string | undefined> {
    return this.#partitions[partition]!.results.get(idempotencyField)
  }

  async records(collection: AnyCollection, keys: readonly string[]): Promise<(StateRecord | undefined)[]> {
    return keys.map((key) => {
      checkKey(collection.name, key)
      const { partition } = locate(this.#router, collection, key)
      return this.#partitions[partition]!.records.get(idOf(collection, key))
    })
  }

  async idle(): Promise<void> {
    await Promise.all(this.#running)
  }

  close(): void {}

  #decide(of: Partition, partition: number, request: PreparedRequest): Verdict {
    const { changes, idempotencyField } = request
    const remembered = idempotencyField === undefined ? undefined : of.results.get(idempotencyField)
    if (remembered !== undefined) return parseStoredResult(remembered)
    const first = (of.batches.at(-1)?.last ?? 0) + 1
    const entering = new Map<string, StateRecord>()
    const versions: number[] = []
    for (const [index, change] of changes.entries()) {
      const id = idOf(change.collection, change.key)
      const held = entering.get(id) ?? of.records.get(id)
      if (!fits(change, held)) {
        const live = held !== undefined && !held.deleted
        return { kind: 'conflict', change: index, version: held?.version ?? 0, epoch: 1, live }
      }
      const sequence = first + index
      const version = change.collection.state === 'none' ? sequence : (held?.version ?? 0) + 1
      versions.push(version)
      entering.set(id, recordOf(change, sequence, version))
    }
    for (const [id, record] of entering) of.records.set(id, record)
    of.batches.push(this.#encode(partition, request, first, versions))
    if (idempotencyField !== undefined) of.results.set(idempotencyField, `1 ${first} ${versions.join(' ')}`)
    return { kind: 'stored', epoch: 1, first, versions }
  }

  /** Through the layout of a real batch, so that what is read is decoded by the same code. */
  #encode(
    partition: number,
    { changes, metadata }: PreparedRequest,
    first: number,
    versions: readonly number[],
  ): Batch {
    const lines = (of: (change: PreparedChange) => string): string => changes.map(of).join('\n')
    const fields = {
      first: String(first),
      time: String(this.#now()),
      types: lines(({ collection }) => `${collection.name}@${collection.schemaVersion}`),
      'type-of': changes.map((_, index) => index).join(' '),
      operations: changes.map(({ operation }) => operation).join(''),
      versions: versions.join(' '),
      keys: lines(({ escapedKey }) => escapedKey),
      payloads: lines(({ payload }) => payload),
      ...(metadata !== undefined && { metadata, 'metadata-of': changes.map(() => 1).join(' ') }),
    }
    const id = `1-${first + changes.length - 1}`
    return decodeBatch(partition, [id, Object.entries(fields).flat()], this.#context)
  }
}

function fits({ expected }: PreparedChange, held: StateRecord | undefined): boolean {
  const live = held !== undefined && !held.deleted
  if (expected === 'any') return true
  if (expected === 'absent') return !live
  if (expected === 'exists') return live
  const { number, epoch } = parseVersion(expected)
  return held?.version === number && epoch === 1
}

function recordOf(
  { collection, operation, payload, folded = '' }: PreparedChange,
  sequence: number,
  version: number,
): StateRecord {
  const kept = operation === 'e' ? folded : payload
  return {
    stamp: { epoch: 1, sequence },
    version,
    // Nobody compares a fake with a copy.
    hash: 0n,
    deleted: operation === 'd',
    kind: kinds[operation]!,
    schemaVersion: collection.schemaVersion,
    payload: collection.state === 'values' ? kept : '',
  }
}

function idOf({ name }: AnyCollection, key: string): string {
  return `${name}/${key}`
}
