import {
  applied,
  compareStamps,
  HeadwaterError,
  reject,
  retry,
  stale,
  type Change,
  type Outcome,
  type SinkPartition,
  type SinkPosition,
} from '@headwater/core'
import { createIORedisClient, Job, type IRedisTransaction } from 'bullmq'
import type { ChainableCommander } from 'ioredis'
import { jobDataOf, jobIdOf, type NamedJob } from './change-job.ts'
import { source as partitionSource } from './partition.lua.ts'
import {
  fenced,
  formatFence,
  formatPosition,
  formatStamp,
  parseStamp,
  rolledBack,
  storePosition,
  type PartitionRight,
  type Progress,
  type QueueBooks,
} from './queue-books.ts'
import { queueFailure } from './queue-failure.ts'
import type { OpenQueue, QueueLink } from './queue-link.ts'
import { source as recordSource } from './record.lua.ts'

/** Where jobs are added. */
export interface QueueTarget {
  readonly name: string
  readonly link: QueueLink
  readonly books: QueueBooks
  readonly jobOf: (change: Change) => NamedJob | undefined
}

/** A call of one of BullMQ's scripts, that adds a job. */
interface Addition {
  readonly id: string
  readonly script: string
  readonly args: readonly unknown[]
}

/** A change that can be taken, with its job unless it is to have none. */
interface Taking {
  readonly change: Change
  readonly addition: Addition | undefined
}

/** Somebody else wrote to the partition's books between looking and writing: mostly another group of the same queue. */
const attemptsMax = 20

const keyField = (key: string): string => `key ${key}`

/**
 * An opened partition. A batch is one transaction: `WATCH` on the books of the partition, a look at fence and stamps, then
 * `MULTI` with BullMQ's own scripts and a last one that notes what was added. When somebody else has opened the partition
 * since the look, nothing of it happens.
 */
export class QueuePartition implements SinkPartition {
  readonly position: SinkPosition | undefined
  readonly #target: QueueTarget
  readonly #right: PartitionRight
  readonly #key: string
  /** Confirmed so far; a server that counts fewer has lost what it confirmed. */
  #calls: number

  constructor(target: QueueTarget, right: PartitionRight, { position, calls }: Progress) {
    this.position = position
    this.#target = target
    this.#right = right
    this.#key = target.books.of(right.partition)
    this.#calls = calls
  }

  async apply(
    changes: readonly Change[],
    position: SinkPosition,
    { signal }: { signal: AbortSignal },
  ): Promise<readonly Outcome[]> {
    signal.throwIfAborted()
    return await this.#target.link.use(async (open) => {
      const outcomes = new Map<Change, Outcome>()
      const takings: Taking[] = []
      for (const change of changes) {
        try {
          takings.push({ change, addition: await this.#additionOf(change, open) })
        } catch (error) {
          outcomes.set(change, reject(this.#rejected(change, error)))
        }
      }
      for (let attempt = 1; attempt <= attemptsMax; attempt++) {
        const taken = await this.#transaction(takings, position, open)
        if (taken) return changes.map((change) => (outcomes.get(change) ?? taken.get(change))!)
      }
      throw new HeadwaterError(
        'SINK_UNAVAILABLE',
        `Partition ${this.#right.partition} of the ${this.#target.name} was written to by others ${attemptsMax} times in a row.`,
      )
    })
  }

  async advance(position: SinkPosition): Promise<void> {
    const { link, books, name } = this.#target
    await link.use(async ({ client }) => {
      this.#calls = await storePosition(client, books, name, this.#right, position, this.#calls)
    })
  }

  async close(): Promise<void> {
    // Nothing is held open for a partition, and the fence stays: the next owner's is greater.
  }

  /** Undefined where the books were written to meanwhile: look again. */
  async #transaction(
    takings: readonly Taking[],
    position: SinkPosition,
    { client, queue, drop }: OpenQueue,
  ): Promise<Map<Change, Outcome> | undefined> {
    const { group, fence } = this.#right
    await client.watch(this.#key)
    const fields = takings.map(({ change }) => keyField(change.key))
    const [heldFence, calls, ...held] = await client.hmget(
      this.#key,
      `fence ${group}`,
      `calls ${group}`,
      ...fields,
    )
    if (heldFence !== formatFence(fence) || Number(calls ?? 0) < this.#calls) {
      await client.unwatch()
      const isOurs = heldFence === formatFence(fence)
      throw isOurs
        ? rolledBack(this.#target.name, this.#right)
        : fenced(this.#target.name, this.#right, heldFence ?? '')
    }
    const isStale = ({ change }: Taking, at: number): boolean => {
      const stamp = held[at]
      return typeof stamp === 'string' && compareStamps(change.stamp, parseStamp(stamp)) <= 0
    }
    const fresh = takings.filter((taking, at) => !isStale(taking, at))

    const multi: ChainableCommander = createIORedisClient(client).multi()
    const transaction = multi as unknown as IRedisTransaction
    const jobs: string[] = []
    const args: (string | number)[] = [group, formatPosition(position)]
    for (const { change, addition } of fresh) {
      if (addition) {
        transaction.runCommand(addition.script, [...addition.args])
        jobs.push(queue.toKey(addition.id))
      }
      args.push(keyField(change.key), formatStamp(change.stamp), addition ? jobs.length + 1 : 0)
    }
    multi.eval(`${partitionSource}\n${recordSource}`, 1 + jobs.length, this.#key, ...jobs, ...args)
    const replies = await multi.exec()
    if (!replies) return undefined

    const [recordError, record] = replies.at(-1)!
    if (recordError) throw recordError
    const [confirmed, ...took] = record as string[]
    this.#calls = Number(confirmed)
    const failure = replies.find(([error]) => error)?.[0]
    // The server has forgotten BullMQ's scripts, and this connection believes that it knows them.
    if (failure) drop()
    const outcomes = new Map(takings.map(({ change }): [Change, Outcome] => [change, stale]))
    for (const [at, { change }] of fresh.entries()) {
      const notNow = retry(queueFailure(this.#target.name, failure ?? new Error('A job was not added.')))
      outcomes.set(change, took[at] === '1' ? applied : notNow)
    }
    return outcomes
  }

  /** What BullMQ would send to add the job, without sending it; undefined where the change is to have none. */
  async #additionOf(change: Change, { queue }: OpenQueue): Promise<Addition | undefined> {
    const named = this.#target.jobOf(change)
    if (named === undefined) return undefined
    const { name = change.collection, opts = {} } = named
    const data = named.data === undefined ? jobDataOf(change) : named.data
    const forbidden = ['jobId', 'repeat', 'parent', 'deduplication'].find((option) => option in opts)
    if (forbidden !== undefined) {
      throw new Error(
        `its job must not have the option ${forbidden}: each change has one job, under an id of ours`,
      )
    }
    const id = jobIdOf(change)
    let addition: Addition | undefined
    const recorder: Pick<IRedisTransaction, 'runCommand'> = {
      runCommand(script, args) {
        addition = { id, script, args: args as unknown[] }
        return this as IRedisTransaction
      },
    }
    await new Job(queue, name, data, { ...opts, jobId: id }, id).addJob(recorder as IRedisTransaction)
    return addition!
  }

  #rejected({ position }: Change, error: unknown): HeadwaterError {
    const reason = error instanceof Error ? error.message : String(error)
    const text = `The ${this.#target.name} can never take the change at ${position}: ${reason}.`
    return new HeadwaterError('SINK_REJECTED', text, { cause: error })
  }
}
