import type { Change } from '../../packages/core/src/change/change.ts'
import { HeadwaterError } from '../../packages/core/src/errors/headwater-error.ts'
import { memorySink, type MemorySink } from '../../packages/core/src/sink/memory-sink.ts'
import { reject, retry, type Outcome } from '../../packages/core/src/sink/outcome.ts'
import type {
  OpenPartitionOptions,
  Sink,
  SinkPartition,
  SinkPosition,
} from '../../packages/core/src/sink/sink.ts'
import type { Audit } from './audit.ts'
import type { Network } from './simulated-client.ts'
import { actor, type Actor, type SimulatedTime } from './simulated-time.ts'

/** What is wrong with the target now. */
export interface Ailments {
  /** Until then it refuses every call, ms. */
  downUntil: number
  /** How likely a call or its answer is lost, so that nobody ever answers. */
  loss: number
  /** Keys whose changes it will never take. */
  readonly rejected: Set<string>
  /** Whether it takes nothing of a call that has such a change in it. */
  rejectsCalls: boolean
  /** Keys whose changes it does not take now. */
  readonly refused: Set<string>
}

/** The target, wherever its calls come from. */
export class SimulatedTarget {
  readonly actor: Actor = actor('target')
  readonly ailments: Ailments = {
    downUntil: 0,
    loss: 0,
    rejected: new Set(),
    rejectsCalls: false,
    refused: new Set(),
  }
  readonly #time: SimulatedTime
  readonly #memory: MemorySink<unknown>
  readonly #audit: Audit

  constructor(time: SimulatedTime, memory: MemorySink<unknown>, audit: Audit) {
    this.#time = time
    this.#memory = memory
    this.#audit = audit
  }

  /** The sink of one worker: the memory sink, behind a network. */
  sinkOf(worker: Actor, network: Network, takes: Sink['takes']): Sink {
    const { target, collection, capabilities } = this.#memory
    const { concurrency, batch } = capabilities
    const memory = memorySink({ collection, target, concurrency, batch })
    return {
      ...memory,
      takes: takes ?? 'state',
      open: (options) =>
        this.#call(worker, network, async () =>
          this.#opened(worker, network, await memory.open(options), options),
        ),
    }
  }

  #opened(worker: Actor, network: Network, at: SinkPartition, options: OpenPartitionOptions): SinkPartition {
    const { partition, fence } = options
    const audit = this.#audit.session(partition, fence.token)
    return {
      ...at,
      apply: (changes, position) => {
        audit.offered(changes)
        const answered = this.#call(worker, network, async () => {
          const outcomes = await this.#apply(at, changes, position, options)
          audit.took(changes, outcomes)
          return outcomes
        })
        // Heard by the caller; here it only tells that none of these are at the sink any more.
        answered.then(
          () => audit.answered(changes),
          () => audit.answered(changes),
        )
        return answered
      },
      advance: (position) =>
        this.#call(worker, network, async () => {
          await at.advance(position)
          audit.stands()
        }),
    }
  }

  async #apply(
    at: SinkPartition,
    changes: readonly Change[],
    position: SinkPosition,
    { signal = new AbortController().signal }: OpenPartitionOptions,
  ): Promise<readonly Outcome[]> {
    const { rejected, rejectsCalls, refused } = this.ailments
    if (rejectsCalls && changes.some(({ key }) => rejected.has(key)))
      throw new HeadwaterError('SINK_REJECTED', 'One of them is bad.')
    const taken = changes.filter(({ key }) => !rejected.has(key) && !refused.has(key))
    const outcomes = [...(await at.apply(taken, position, { signal }))]
    return changes.map(({ key }) => {
      if (rejected.has(key)) return reject(new HeadwaterError('SINK_REJECTED', `${key} is bad.`))
      if (refused.has(key)) return retry(new HeadwaterError('SINK_UNAVAILABLE', `${key} is busy.`))
      return outcomes.shift()!
    })
  }

  /** There and back: each way takes its time, and either may be lost. */
  #call<T>(worker: Actor, network: Network, execute: () => Promise<T>): Promise<T> {
    const time = this.#time
    const { random } = time
    // A slow call may come to the target long after its worker has died or was replaced.
    const there = random.chance(0.03) ? random.below(4_000) : network.latencyMs()
    return new Promise((resolve, fail) => {
      const arrive = (): void => {
        const { downUntil, loss } = this.ailments
        const isLost = random.chance(loss)
        if (isLost && random.chance(0.5)) return
        const running = downUntil > time.now ? refuseAll() : execute()
        running.catch(() => {}) // Nobody may be left to hear it.
        if (isLost) return
        const back = Math.max(network.silentUntil - time.now, network.latencyMs())
        const answer = (): void => void running.then(resolve, fail)
        if (back === 0 && time.isTurnOf(worker)) answer()
        else time.after(back, answer, worker)
      }
      const arrivesIn = Math.max(network.silentUntil - time.now, there)
      if (arrivesIn === 0) arrive()
      else time.after(arrivesIn, arrive, this.actor)
    })
  }
}

async function refuseAll(): Promise<never> {
  throw new HeadwaterError('SINK_UNAVAILABLE', 'The target is down.')
}
