import type { Change } from '../change/change.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { CallSlots } from './call-slots.ts'
import { callWithDeadline } from './call-with-deadline.ts'
import { reject, retry, type Outcome } from './outcome.ts'
import type { PartitionSnapshot, Sink, SinkPartition, SinkPosition } from './sink.ts'
import { sinkError } from './sink-error.ts'
import { splitBatch } from './split-batch.ts'

interface GuardedPartitionOptions {
  readonly sink: Sink
  readonly partition: number
  /** What the sink gave. */
  readonly opened: SinkPartition
  readonly timeoutMs: number
  readonly closed: () => void
}

/** One opened partition of a guarded sink. */
export class GuardedPartition implements SinkPartition {
  readonly position: SinkPosition | undefined
  readonly snapshot?: () => Promise<PartitionSnapshot>
  readonly #sink: Sink
  readonly #partition: number
  readonly #opened: SinkPartition
  readonly #timeoutMs: number
  readonly #slots: CallSlots
  readonly #closed: () => void
  readonly #running = new Set<Promise<unknown>>()
  #late = 0
  #closing: Promise<void> | undefined

  constructor({ sink, partition, opened, timeoutMs, closed }: GuardedPartitionOptions) {
    this.position = opened.position
    this.#sink = sink
    this.#partition = partition
    this.#opened = opened
    this.#timeoutMs = timeoutMs
    this.#slots = new CallSlots(sink.capabilities.concurrency)
    this.#closed = closed
    const look = opened.snapshot?.bind(opened)
    if (look) this.snapshot = () => this.#snapshot(look)
  }

  async apply(
    changes: readonly Change[],
    position: SinkPosition,
    { signal }: { signal: AbortSignal },
  ): Promise<readonly Outcome[]> {
    this.#checkBatch(changes)
    return this.#inSlot(() => this.#applyParts(changes, position, signal))
  }

  async advance(position: SinkPosition): Promise<void> {
    await this.#inSlot(async () => {
      try {
        await this.#call('advance', () => this.#opened.advance(position))
      } catch (error) {
        throw sinkError(this.#sink.name, error)
      }
    })
  }

  async #snapshot(look: () => Promise<PartitionSnapshot>): Promise<PartitionSnapshot> {
    return await this.#inSlot(async () => {
      try {
        return await this.#call('snapshot', look)
      } catch (error) {
        throw sinkError(this.#sink.name, error)
      }
    })
  }

  get hasLateCall(): boolean {
    return this.#late > 0
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#running)
    this.#closed()
    await this.#opened.close()
  }

  /** The position claims nothing of these changes, so every part may carry it. */
  async #applyParts(
    changes: readonly Change[],
    position: SinkPosition,
    signal: AbortSignal,
  ): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = []
    const parts = [...splitBatch(changes, this.#sink.capabilities.batch)]
    for (let part = parts.shift(); part; part = parts.shift()) {
      try {
        outcomes.push(...(await this.#applyPart(part, position, signal)))
      } catch (error) {
        if (isHeadwaterError(error, 'SINK_FENCED') || isHeadwaterError(error, 'SINK_CONTRACT')) throw error
        if (!isFinal(error)) {
          // The target is in trouble: the parts that are left would only wait for it too.
          const notNow = retry(sinkError(this.#sink.name, error))
          while (outcomes.length < changes.length) outcomes.push(notNow)
          break
        }
        if (part.length === 1) {
          outcomes.push(reject(error))
        } else {
          const half = Math.ceil(part.length / 2)
          parts.unshift(part.slice(0, half), part.slice(half))
        }
      }
    }
    return outcomes
  }

  async #applyPart(
    part: readonly Change[],
    position: SinkPosition,
    signal: AbortSignal,
  ): Promise<readonly Outcome[]> {
    const outcomes = await this.#call(
      'apply',
      (signal) => this.#opened.apply(part, position, { signal }),
      signal,
    )
    if (!areOutcomes(outcomes) || outcomes.length !== part.length) {
      throw this.#broken(`answered ${part.length} changes with something else than as many outcomes`)
    }
    // The newest state of a key says all of it, so to a sink of states nothing can be missing before it.
    if (this.#sink.takes !== 'events' && outcomes.some(({ kind }) => kind === 'gap')) {
      throw this.#broken('answered with a gap, but it does not take events')
    }
    return outcomes
  }

  async #inSlot<T>(work: () => Promise<T>): Promise<T> {
    this.#checkOpen()
    const running = this.#slots.run(() => {
      this.#checkOpen()
      return work()
    })
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }

  /** After a call that never answered, its write may still land: until it settles, nothing else is sent. */
  async #call<T>(
    method: string,
    call: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const name = `${method} of partition ${this.#partition} of the ${this.#sink.name}`
    if (this.#late > 0) {
      throw new HeadwaterError(
        'SINK_UNAVAILABLE',
        `${name} has to wait: an earlier call is past its deadline and has not ended. Open the partition again if it lasts.`,
      )
    }
    const late = (running: Promise<T>) => {
      this.#late++
      const settled = () => void this.#late--
      running.then(settled, settled)
    }
    return callWithDeadline(call, { name, timeoutMs: this.#timeoutMs, signal, late })
  }

  #checkBatch(changes: readonly Change[]): void {
    if (changes.length === 0) throw this.#broken('was given no changes')
    const keys = new Set<string>()
    for (const { collection, partition, key } of changes) {
      if (collection !== this.#sink.collection.name)
        throw this.#broken(`was given a change of "${collection}"`)
      if (partition !== this.#partition) throw this.#broken(`was given a change of partition ${partition}`)
      if (keys.has(key)) throw this.#broken(`was given two changes of ${JSON.stringify(key)}`)
      keys.add(key)
    }
  }

  #checkOpen(): void {
    if (this.#closing) {
      throw new HeadwaterError('CLOSED', `Partition ${this.#partition} of the ${this.#sink.name} was closed.`)
    }
  }

  #broken(what: string): HeadwaterError {
    return new HeadwaterError(
      'SINK_CONTRACT',
      `apply of partition ${this.#partition} of the ${this.#sink.name} ${what}.`,
    )
  }
}

/** Whether a call of this partition is past its deadline and has not ended, so that nothing else is sent through it. */
export function hasLateCall(partition: SinkPartition): boolean {
  return partition instanceof GuardedPartition && partition.hasLateCall
}

/** Errors of the value itself: no later attempt can go better. A value is decoded when the sink first looks at it. */
function isFinal(error: unknown): error is HeadwaterError {
  const codes = ['SINK_REJECTED', 'CHANGE_UNREADABLE', 'VALUE_INVALID', 'UPCAST_FAILED'] as const
  return codes.some((code) => isHeadwaterError(error, code))
}

function areOutcomes(answer: unknown): answer is readonly Outcome[] {
  return Array.isArray(answer) && answer.every(isOutcome)
}

function isOutcome(outcome: Outcome | undefined): boolean {
  switch (outcome?.kind) {
    case 'applied':
    case 'stale':
      return true
    case 'retry':
    case 'reject':
    case 'gap':
      return isHeadwaterError(outcome.error)
    default:
      return false
  }
}
