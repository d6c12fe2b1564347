import { formatPosition } from '../change/position.ts'
import { formatVersion } from '../change/version.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { missingHeader } from '../namespace/metadata.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import { appendFromOriginScript, originFenced, withOrigin } from '../origin/append-from-origin.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import type { Connection, RedisClient } from '../redis/connection.ts'
import { onNodeOfKey, socketOf } from '../redis/node-of-key.ts'
import { pause } from '../redis/persist.ts'
import type { Script, ScriptInput } from '../redis/script.ts'
import {
  appendScript,
  batchChangesMax,
  collectionsMax,
  encodeAppend,
  parseAppendReply,
  type AppendBatch,
  type Verdict,
} from './append-script.ts'
import { blockedLog, isBlocked } from './blocked-log.ts'
import type { AppendResult } from './append-result.ts'
import { producerAt } from './producer.ts'
import { AppendTrouble } from './append-trouble.ts'
import type { PreparedRequest } from './prepared.ts'
import { VersionConflictError } from './version-conflict-error.ts'

export interface BatcherOptions {
  readonly namespace: string
  readonly partition: number
  readonly keys: PartitionKeys
  readonly connection: Connection
  readonly producer: string
  readonly resultsWindowMs: number
  /** Told of each batch, before it goes out. */
  readonly onBatch?: (changes: number) => void
  readonly attemptMs: number
  /** Replicas that must have stored a batch before it is acknowledged, and how long to wait for them in ms. */
  readonly replicas: number
  readonly replicasTimeoutMs: number
}

export const batchSizeMax = 1_048_576

const between: Backoff = { firstMs: 10, maxMs: 500 }
/** While a batch is stuck: how late past its deadline a request may be told. */
const lookEveryMs = 50

/**
 * Appends to one partition. While a batch is on its way, further requests gather and go together, so batches form under
 * load and a lone append is never delayed: no timer, no target size.
 *
 * One batch at a time, numbered: a batch whose reply was lost is sent again under its number, and the partition, which
 * remembers each producer's last number and result, stores it once.
 */
export class Batcher {
  readonly #options: BatcherOptions
  #waiting: PreparedRequest[] = []
  #number = 0
  #producer: string
  #running: Promise<void> | undefined

  constructor(options: BatcherOptions) {
    this.#options = options
    this.#producer = options.producer
  }

  add(request: PreparedRequest): void {
    this.#waiting.push(request)
    // In a microtask, so that appends of the same turn of the event loop share the first batch too.
    this.#running ??= Promise.resolve().then(() => this.#run())
  }

  /** Settles when nothing is waiting or on its way any more. */
  async idle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = { producer: this.#producer, number: ++this.#number, requests: this.#take() }
      await this.#store(batch)
    }
    this.#running = undefined
  }

  /** As many of the waiting requests as one batch may hold, at least one. */
  #take(): PreparedRequest[] {
    let changes = 0
    let size = 0
    let count = 0
    const collections = new Set<AnyCollection>()
    const origin = this.#waiting[0]?.origin
    for (const request of this.#waiting) {
      if (request.origin !== origin) break
      changes += request.changes.length
      size += request.size
      for (const { collection } of request.changes) collections.add(collection)
      const full = changes > batchChangesMax || size > batchSizeMax || collections.size > collectionsMax
      if (count > 0 && full) break
      count++
    }
    return this.#waiting.splice(0, count)
  }

  /** Sends a batch until it is answered or given up. Never rejects: what happens reaches the requests. */
  async #store(whole: AppendBatch): Promise<void> {
    const { keys, connection, attemptMs, resultsWindowMs, namespace, partition } = this.#options
    this.#options.onBatch?.(whole.requests.reduce((sum, { changes }) => sum + changes.length, 0))
    let batch = whole
    const deadline = batch.requests.reduce((latest, request) => Math.max(latest, request.deadline), 0)
    const { origin } = batch.requests[0]!
    const script = origin ? appendFromOriginScript : appendScript
    const encode = (): ScriptInput => {
      const encoded = encodeAppend(keys, batch, resultsWindowMs)
      return origin ? withOrigin(encoded, keys.origins, origin) : encoded
    }
    let input: ScriptInput
    try {
      input = encode()
    } catch (error) {
      return rejectAll(batch, error as Error)
    }
    const trouble = new AppendTrouble(`an append to partition ${partition}`)
    const stopWatch = this.#watch(whole, trouble, (late) => {
      batch = { ...batch, requests: batch.requests.filter((request) => !late.includes(request)) }
      if (batch.requests.length > 0) input = encode()
    })
    try {
      for (let attempt = 1; ; attempt++) {
        const left = Math.max(1, deadline - performance.now())
        try {
          const reply = await connection.attempt(
            (client) => {
              if (batch.requests.length === 0) throw trouble.verdict()
              trouble.sent()
              return this.#send(client, script, input)
            },
            Math.min(attemptMs, left),
          )
          trouble.answered()
          const forgottenAt = /^forgotten (\d+)$/.exec(String(reply))?.[1]
          if (forgottenAt !== undefined) {
            // Under the old name it could be an echo of what was stored; under a new one it would be stored twice then.
            if (trouble.inDoubt) return rejectAll(batch, trouble.verdict())
            this.#producer = producerAt(forgottenAt, this.#producer)
            batch = { ...batch, producer: this.#producer }
            input = encode()
            continue
          }
          if (reply === 'fenced') return rejectAll(batch, originFenced(origin!.name))
          const verdicts = parseAppendReply(reply, batch.requests)
          if (verdicts === 'missing') return rejectAll(batch, missingHeader(namespace, partition))
          if (verdicts === 'superseded') {
            return rejectAll(
              batch,
              new HeadwaterError(
                'LOG_DAMAGED',
                `Partition ${partition} knows a later batch of this producer: was the log restored into two places?`,
              ),
            )
          }
          if (verdicts === 'full') throw logFull(partition)
          return this.#settle(batch, verdicts)
        } catch (caught) {
          const error = isBlocked(caught) ? await this.#whatBlocks(caught) : caught
          if (!trouble.met(error)) return rejectAll(batch, trouble.verdict())
          const waitMs = backoffMs(between, attempt)
          if (connection.closed || performance.now() + waitMs >= deadline) {
            return rejectAll(batch, trouble.verdict())
          }
          await pause(waitMs)
        }
      }
    } finally {
      stopWatch()
    }
  }

  /**
   * Rejects requests at their own deadlines while a batch is stuck: those in the batch, which goes on for the others (as long as
   * it is certainly not stored, without them), and those that wait behind it and were never sent.
   */
  #watch(
    { requests }: AppendBatch,
    trouble: AppendTrouble,
    drop: (late: readonly PreparedRequest[]) => void,
  ): () => void {
    let timer: NodeJS.Timeout
    const look = (): void => {
      const now = performance.now()
      const late = requests.filter(({ deadline }) => deadline <= now)
      if (late.length > 0) {
        if (!trouble.mayBeStored) drop(late)
        rejectAll({ requests: late }, trouble.verdict())
      }
      const behind = this.#waiting.filter(({ deadline }) => deadline <= now)
      if (behind.length > 0) {
        this.#waiting = this.#waiting.filter(({ deadline }) => deadline > now)
        rejectAll({ requests: behind }, trouble.verdictOfUnsent())
      }
      timer = setTimeout(look, lookEveryMs)
    }
    const first = requests.reduce((earliest, { deadline }) => Math.min(earliest, deadline), Infinity)
    timer = setTimeout(look, Math.max(1, first - performance.now()))
    return () => clearTimeout(timer)
  }

  /**
   * Runs the script and, where the durability asks for it, waits for replicas. `WAIT` counts what its own connection has
   * written and nothing else, so both must go over the same one: where it was replaced in between, nothing is known.
   */
  async #send(client: RedisClient, script: Script, input: ScriptInput): Promise<unknown> {
    const { replicas, replicasTimeoutMs, partition, keys } = this.#options
    if (replicas === 0) return await script.run(client, input)
    const { reply, reached } = await onNodeOfKey(client, keys.log, async (node) => {
      const socket = socketOf(node)
      const reply = await script.run(node, input)
      const reached = await node.call('WAIT', replicas, replicasTimeoutMs).then(Number, notCounted)
      if (socketOf(node) !== socket)
        throw new Error('the connection was replaced before the replicas were counted')
      return { reply, reached }
    })
    if (reached >= replicas) return reply
    throw new HeadwaterError(
      'DURABILITY_NOT_REACHED',
      `A batch of partition ${partition} is on ${reached} of the ${replicas} replicas that its durability demands.`,
    )
  }

  async #whatBlocks(error: unknown): Promise<unknown> {
    const { connection, keys, partition } = this.#options
    return await blockedLog(connection, keys, partition).catch(() => error)
  }

  #settle(batch: AppendBatch, verdicts: readonly Verdict[]): void {
    const { requests } = batch
    for (let index = 0; index < requests.length; index++)
      settleRequest(this.#options.partition, requests[index]!, verdicts[index]!)
  }
}

/** Tells whoever waits for a request what the append script said of it. */
export function settleRequest(partition: number, request: PreparedRequest, verdict: Verdict): void {
  if (verdict.kind === 'conflict') request.reject(conflict(request, verdict))
  else if (verdict.versions.length !== request.changes.length) request.reject(keyReused(request, verdict))
  else request.resolve(resultsOf(partition, request, verdict))
}

export function resultsOf(
  partition: number,
  request: { readonly changes: readonly { readonly key: string }[] },
  verdict: Extract<Verdict, { kind: 'stored' | 'duplicate' }>,
): AppendResult[] {
  const { epoch, first, versions } = verdict
  const duplicate = verdict.kind === 'duplicate'
  return request.changes.map(({ key }, at) => ({
    key,
    version: formatVersion(versions[at] ?? 0, epoch),
    position: formatPosition(partition, { epoch, sequence: first + at }),
    duplicate,
  }))
}

function conflict(
  request: PreparedRequest,
  verdict: Extract<Verdict, { kind: 'conflict' }>,
): VersionConflictError {
  const change = request.changes[verdict.change]!
  const actual = verdict.live ? formatVersion(verdict.version, verdict.epoch) : undefined
  return new VersionConflictError(change.collection.name, change.key, change.expected, actual)
}

/** Not given up at once: trimming makes room. */
function logFull(partition: number): HeadwaterError {
  return new HeadwaterError(
    'LOG_FULL',
    `The stream of partition ${partition} takes as much memory as is set for it, so nothing was appended: \`headwater retention\` shows who needs what it keeps.`,
  )
}

/** An earlier append of another length: its result says nothing of these changes. */
function keyReused(
  { changes }: PreparedRequest,
  { versions }: Extract<Verdict, { kind: 'stored' | 'duplicate' }>,
): HeadwaterError {
  return new HeadwaterError(
    'OPTION_INVALID',
    `The idempotencyKey of this append of ${changes.length} changes belongs to an earlier one of ${versions.length}: a retry repeats the append unchanged, and another append needs another key.`,
  )
}

/**
 * The append was executed, whatever this says: a master that was demoted in between refuses to count, or the connection has
 * just ended. So its words stay out of the message, by which errors are told apart.
 */
function notCounted(error: unknown): never {
  throw new Error('the replicas could not be counted', { cause: error })
}

function rejectAll({ requests }: Pick<AppendBatch, 'requests'>, error: Error): void {
  for (const request of requests) request.reject(error)
}
