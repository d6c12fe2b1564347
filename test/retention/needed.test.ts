import { notes } from '@headwater/conformance'
import {
  HeadwaterError,
  isHeadwaterError,
  setRetention,
  trim,
  type Change,
  type Feed,
  type FeedChange,
  type Log,
  type Position,
} from '@headwater/core'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { formatPosition } from '../../packages/core/src/change/position.ts'
import type { Stamp } from '../../packages/core/src/change/stamp.ts'
import { commit } from '../../packages/core/src/group/commit.ts'
import { acquireLease, type Lease, type LeaseRequest } from '../../packages/core/src/group/lease.ts'
import { registerGroup } from '../../packages/core/src/group/register-group.ts'
import { logParts, type LogParts } from '../../packages/core/src/namespace/log-parts.ts'
import { park } from '../../packages/core/src/parking/park.ts'
import { moveHold, releaseHold, takeHold, type HoldKind } from '../../packages/core/src/retention/holds.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { givenSeed } from '../support/seed.ts'
import { openTestLog, partitionKeys } from '../worker/test-log.ts'

const group = 'slow'
startOwnRedis()

type Step =
  | { readonly kind: 'append'; readonly batches: number; readonly size: number }
  /** The group applies so many changes, its sink saves so many fewer, and it parks the last of them or not. */
  | { readonly kind: 'apply'; readonly changes: number; readonly unsaved: number; readonly parks: boolean }
  /** A rebuild or replay begins at some part of what is there: a replay may ask for what is gone. */
  | { readonly kind: 'begin'; readonly reader: HoldKind; readonly at: number }
  | { readonly kind: 'read'; readonly reader: HoldKind; readonly changes: number }
  | { readonly kind: 'end'; readonly reader: HoldKind }
  | { readonly kind: 'feed'; readonly changes: number }
  | { readonly kind: 'trim' }

const readers = fc.constantFrom<HoldKind>('rebuild', 'replay', 'copy')
const few = fc.integer({ min: 1, max: 5 })
const many = fc.integer({ min: 1, max: 100 })
const steps = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('append'), batches: few, size: few }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('apply'),
        changes: many,
        unsaved: fc.integer({ min: 0, max: 4 }),
        parks: fc.boolean(),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('begin'),
        reader: readers,
        at: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('read'), reader: readers, changes: many }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('end'), reader: readers }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('feed'), changes: many }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('trim') }) },
  ) as fc.Arbitrary<Step>,
  { minLength: 10, maxLength: 40 },
)

/** A log with a slow group, readers that hold, and a feed; what each of them still has to get. */
class World implements AsyncDisposable {
  readonly log: Log
  readonly #parts: LogParts
  readonly #request: LeaseRequest
  #lease!: Lease
  #feed!: Feed
  #fed = 0
  #end = 0
  #saved = 0
  #parked = 0
  readonly #holds = new Map<HoldKind, number>()

  constructor(log: Log) {
    this.log = log
    this.#parts = logParts(log)
    this.#request = { keys: this.#parts.keys.partitions[0]!, group, owner: 'worker', leaseMs: 60_000 }
  }

  static async open(): Promise<World> {
    const world = new World(await openTestLog(server.options))
    const { connection, namespace, keys, deadlineMs } = world.#parts
    await setRetention(world.log, { retentionMs: 0 })
    await registerGroup(connection, namespace, keys, group, deadlineMs)
    const answer = await acquireLease(client, world.#request)
    if (answer.kind !== 'granted') throw new Error('No lease was granted.')
    world.#lease = answer.lease
    world.#feed = world.log.feed(notes, { from: 'now', retain: { name: 'page' } })
    await world.#feed.started
    return world
  }

  async do(step: Step): Promise<void> {
    switch (step.kind) {
      case 'append':
        for (let batch = 0; batch < step.batches; batch++) {
          await this.log.append(
            Array.from({ length: step.size }, (_, at) => notes.put({ id: `${at}`, content: batch })),
          )
        }
        this.#end += step.batches * step.size
        return
      case 'apply':
        return await this.#apply(step)
      case 'begin':
        return await this.#begin(step)
      case 'read':
        return await this.#read(step)
      case 'end':
        if (this.#holds.delete(step.reader)) await releaseHold(this.#parts, nameOf(step.reader))
        return
      case 'feed':
        for (let given = 0; given < step.changes && this.#fed < this.#end; given++) {
          const { value } = (await this.#feed.next()) as IteratorYieldResult<FeedChange>
          expect(value.stamp.sequence).toBe(++this.#fed)
        }
        // What the feed does by itself, now and then.
        await moveHold(this.#parts, { partition: 0, name: 'feed:page', owner: 'page' }, stampOf(this.#fed))
        return
      case 'trim':
        await trim(this.log)
        return await this.check()
    }
  }

  async #apply({ changes, unsaved, parks }: Extract<Step, { kind: 'apply' }>): Promise<void> {
    const applied = await this.#changes(this.#saved, changes)
    const last = applied.at(-1)
    if (!last) return
    if (parks) {
      const error = new HeadwaterError('SINK_REJECTED', 'It cannot hold this.')
      const bounds = { keys: 1_000, changesOfKey: 10_000 }
      const parked = { changes: [last], error, behind: false, bounds }
      const answer = await park(client, this.#request, this.#lease.token, parked)
      this.#parked += answer.kind === 'parked' ? answer.added : 0
    }
    this.#saved = Math.max(this.#saved, last.stamp.sequence - unsaved)
    const saved = stampOf(this.#saved)
    await commit(client, this.#request, this.#lease.token, { checkpoint: last.stamp, saved, entries: [] })
  }

  async #begin({ reader, at }: Extract<Step, { kind: 'begin' }>): Promise<void> {
    const trimmed = Number((await client.hget(partitionKeys(this.log, group).header, 'trimmed')) ?? 0)
    const sequence = Math.round(this.#end * at)
    const taken = await takeHold(this.#parts, {
      ...nameOf(reader),
      kind: reader,
      after: stampOf(sequence),
    }).then(
      () => true,
      (error: unknown) => {
        if (!isHeadwaterError(error, 'HISTORY_TRIMMED')) throw error
        return false
      },
    )
    expect(taken).toBe(sequence >= trimmed)
    if (taken) this.#holds.set(reader, sequence)
  }

  async #read({ reader, changes }: Extract<Step, { kind: 'read' }>): Promise<void> {
    const after = this.#holds.get(reader)
    if (after === undefined) return
    const last = (await this.#changes(after, changes)).at(-1)
    if (!last) return
    expect(await moveHold(this.#parts, nameOf(reader), last.stamp)).toBe('moved')
    this.#holds.set(reader, last.stamp.sequence)
  }

  /** Everybody can still read what it needs, up to the end, without a hole. */
  async check(): Promise<void> {
    for (const after of [this.#saved, ...this.#holds.values(), this.#fed]) {
      const left = await this.#changes(after, Number.POSITIVE_INFINITY)
      expect(left.map(({ stamp }) => stamp.sequence)).toEqual(
        Array.from({ length: this.#end - after }, (_, at) => after + 1 + at),
      )
    }
    const keys = partitionKeys(this.log, group)
    const copies = await client.xrange(keys.parked, '-', '+')
    expect(copies).toHaveLength(this.#parked)
  }

  async #changes(after: number, limit: number): Promise<Change[]> {
    const changes: Change[] = []
    const from: 'beginning' | Position = after === 0 ? 'beginning' : formatPosition(0, stampOf(after))
    for await (const change of this.log.read(0, from, { limit })) changes.push(change)
    return changes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#feed.close()
    await this.log.close()
  }
}

const stampOf = (sequence: number): Stamp => ({ epoch: sequence === 0 ? 0 : 1, sequence })
const nameOf = (reader: HoldKind) => ({ partition: 0, name: `${reader}:notes`, owner: 'reader' })

it('trimming never removes what a slow, parked, rebuilding, replaying or feeding reader still needs', async () => {
  let trimmed = 0
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      await using world = await World.open()
      for (const step of plan) await world.do(step)
      trimmed += Number((await client.hget(partitionKeys(world.log, group).header, 'trimmed')) ?? 0)
    }),
    { numRuns: 30, ...(givenSeed !== undefined && { seed: givenSeed }) },
  )
  // It would be easy to keep everything.
  expect(trimmed).toBeGreaterThan(0)
}, 60_000)
