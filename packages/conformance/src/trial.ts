import assert from 'node:assert/strict'
import {
  canonicalJson,
  guardSink,
  stampZero,
  type Change,
  type Collection,
  type Fence,
  type Outcome,
  type Sink,
  type SinkPartition,
  type SinkPosition,
  type SinkRow,
} from '@headwater/core'
import { eventually } from './eventually.ts'
import type { FaultyLink, SinkHarness, SinkTarget } from './sink-harness.ts'
import { SinkModel } from './sink-model.ts'

const beginning: SinkPosition = { ...stampZero, branch: '' }

export interface TrialOpenOptions {
  /** Default: the trial's own sink. */
  readonly sink?: Sink
  /** Default: of the first epoch, greater than all before, of an owner of its own. */
  readonly fence?: Fence
  readonly partition?: number
  readonly group?: string
  readonly lineage?: string
}

/**
 * One claim at work: a new target with a sink on it, wrapped in `guardSink` as a worker would, and a model of
 * what the target must hold.
 */
export class Trial {
  readonly harness: SinkHarness
  readonly target: SinkTarget
  readonly sink: Sink
  readonly model: SinkModel = new SinkModel()
  readonly #collection: Collection
  readonly #sinks: Sink[]
  #tokens = 0

  private constructor(harness: SinkHarness, collection: Collection, target: SinkTarget, sink: Sink) {
    this.harness = harness
    this.#collection = collection
    this.target = target
    this.sink = sink
    this.#sinks = [sink]
  }

  /** Runs a test on a new target of this collection, and removes the target. */
  static async run<T>(
    harness: SinkHarness,
    collection: Collection<T>,
    test: (trial: Trial) => Promise<void>,
  ): Promise<void> {
    const target = await harness.open(collection)
    try {
      const trial = new Trial(harness, collection, target, guardSink(target.sink))
      try {
        await trial.sink.prepare?.()
        await test(trial)
      } finally {
        await Promise.all(trial.#sinks.map((sink) => sink.close()))
      }
    } finally {
      await target.close()
    }
  }

  /** A sink on the same target, as another process would have it. */
  async another(): Promise<Sink> {
    return this.#adopt(await this.target.another())
  }

  /** A sink whose link can be broken. Its calls end soon, so that a client that waits does not hold us up. */
  async faulty(): Promise<{ sink: Sink; link: FaultyLink }> {
    const { sink, link } = await this.target.faulty()
    return { sink: await this.#adopt(sink, 2_000), link }
  }

  async #adopt(sink: Sink, applyTimeoutMs?: number): Promise<Sink> {
    const guarded = guardSink(sink, applyTimeoutMs === undefined ? {} : { applyTimeoutMs })
    this.#sinks.push(guarded)
    await guarded.prepare?.()
    return guarded
  }

  /** A fence that is greater than every one before. */
  nextFence(): Fence {
    const token = ++this.#tokens
    return { epoch: 1, token, owner: `worker-${token}` }
  }

  async open(options: TrialOpenOptions = {}): Promise<SinkPartition> {
    const {
      sink = this.sink,
      fence = this.nextFence(),
      partition = 0,
      group = 'copy',
      lineage = 'log-1',
    } = options
    return sink.open({ lineage, group, partition, fence })
  }

  /** Applies, and demands exactly the outcomes of the model. */
  async deliver(
    partition: SinkPartition,
    changes: readonly Change[],
    position: SinkPosition = beginning,
  ): Promise<void> {
    const outcomes = await apply(partition, changes, position)
    expectOutcomes(outcomes, this.model.apply(changes))
  }

  /** Applies a batch with a change that this target can never hold: it must be rejected, and the others applied. */
  async deliverExcept(partition: SinkPartition, changes: readonly Change[], poison: Change): Promise<void> {
    const outcomes = await apply(partition, changes)
    this.model.apply(changes.filter((change) => change !== poison))
    expectOutcomes(
      outcomes,
      changes.map((change) => (change === poison ? 'reject' : 'applied')),
    )
  }

  /** The live rows as users see them, in canonical JSON. */
  async dumpedTexts(): Promise<Map<string, string>> {
    const shown = await this.target.dump()
    return new Map([...shown].map(([key, value]) => [key, canonicalJson(value)]))
  }

  /** How `dumpedTexts` must show this value. */
  textOf(value: unknown): string | undefined {
    if (value === undefined) return undefined
    if (!this.harness.absentAsNull) return canonicalJson(value)
    const members = Object.keys(this.#collection.jsonSchema()?.['properties'] ?? {})
    return canonicalJson({
      ...Object.fromEntries(members.map((member) => [member, null])),
      ...(value as object),
    })
  }

  /** Applies as a worker does: what the sink cannot take now is offered again. */
  async applyUntilDone(partition: SinkPartition, changes: readonly Change[]): Promise<void> {
    await this.eventually(async () => {
      for (const outcome of await apply(partition, changes)) if ('error' in outcome) throw outcome.error
    })
  }

  /** Tries again as long as the harness wants us to. */
  async eventually<T>(call: () => Promise<T>): Promise<T> {
    return eventually(this.harness.patienceMs ?? 10_000, call)
  }

  /** Demands that the target holds what the model holds, by every way there is to look at it. */
  async expectModel(): Promise<void> {
    const live = this.model.live().map(({ key, value }) => [key, this.textOf(value)] as const)
    assert.deepEqual(await this.dumpedTexts(), new Map(live), 'the live rows are not what was applied')
    await this.#expectListed()
    await this.#expectRead()
  }

  /** The sums of the content hashes, counted at the target and, where a partition keeps them, as it has kept them. */
  async expectSums(opened: SinkPartition): Promise<void> {
    if (!this.sink.digest) return
    const live = [...this.model.rows.values()].filter(({ deleted }) => !deleted)
    const expected = sumOf(live.map(({ hash }) => hash))
    const cells = await this.sink.digest({ depth: 0 })
    const counted = cells.reduce((sum, { count }) => sum + count, 0)
    assert.equal(counted, live.length, 'digest() counts other rows')
    assert.equal(sumOf(cells.map(({ sum }) => sum)), expected, 'digest() sums up something else')
    if (!opened.snapshot) return
    const { sums } = await opened.snapshot()
    assert.equal(sumOf([...(await sums).values()]), expected, 'snapshot() sums up something else')
  }

  async #expectListed(): Promise<void> {
    if (!this.sink.list) return
    const rows: SinkRow[] = []
    for await (const row of this.sink.list()) rows.push(row)
    assert.deepEqual(rowsByKey(rows), rowsByKey([...this.model.rows.values()]), 'list() is wrong')
    assert.equal(rows.length, this.model.rows.size, 'list() repeats rows')
  }

  async #expectRead(): Promise<void> {
    if (!this.sink.read) return
    const keys = [...this.model.rows.keys(), 'a key that nobody wrote']
    const values = await this.sink.read(keys)
    for (const [index, key] of keys.entries()) {
      const [value, expected] = [values[index], this.model.rows.get(key)]
      assert.deepEqual(
        value && { ...plainRow(value), content: contentOf(value.value) },
        expected && { ...plainRow(expected), content: contentOf(expected.value) },
        `read() is wrong about ${JSON.stringify(key)}`,
      )
    }
  }
}

export async function apply(
  partition: SinkPartition,
  changes: readonly Change[],
  position: SinkPosition = beginning,
): Promise<readonly Outcome[]> {
  return partition.apply(changes, position, { signal: new AbortController().signal })
}

function expectOutcomes(outcomes: readonly Outcome[], kinds: readonly Outcome['kind'][]): void {
  assert.equal(outcomes.length, kinds.length, 'there is not one outcome a change')
  for (const [index, outcome] of outcomes.entries()) {
    const reason = 'error' in outcome ? `: ${outcome.error.message}` : ''
    const place = `change ${index + 1} of ${kinds.length}`
    assert.equal(outcome.kind, kinds[index], `${place}: ${outcome.kind} instead of ${kinds[index]}${reason}`)
  }
}

function rowsByKey(rows: readonly SinkRow[]): Map<string, SinkRow> {
  return new Map(rows.map((row) => [row.key, plainRow(row)]))
}

/** Only what every row has, so that rows can be compared. */
export function plainRow({ key, deleted, stamp, hash }: SinkRow): SinkRow {
  return { key, deleted, stamp: { epoch: stamp.epoch, sequence: stamp.sequence }, hash }
}

function contentOf(value: unknown): string | undefined {
  return value === undefined ? undefined : canonicalJson(value)
}

function sumOf(hashes: readonly bigint[]): bigint {
  return BigInt.asUintN(
    64,
    hashes.reduce((sum, hash) => sum + hash, 0n),
  )
}
