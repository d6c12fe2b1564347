import type { BatchContext } from '../change/batch.ts'
import type { Change } from '../change/change.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { LeaseRequest } from '../group/lease.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import type { Connection, RedisClient } from '../redis/connection.ts'
import { pause, persist } from '../redis/persist.ts'
import type { Outcome } from '../sink/outcome.ts'
import { Dispatcher, type Run } from '../worker/dispatcher.ts'
import { feedBack, refuseRedrive, type Leaving } from './feed-back.ts'
import { noteOffer } from './note-offer.ts'
import type { ParkedCopy } from './parked-copy.ts'
import { parseField, type ParkedKey } from './parked-key.ts'
import { ParkedStore } from './parked-store.ts'

export interface RedriverOptions {
  readonly connection: Connection
  readonly request: LeaseRequest
  readonly token: number
  readonly partition: number
  readonly collection: string
  readonly context: BatchContext
  /** Whether the newest of a key's changes stands for all of them. */
  readonly coalesce: boolean
  /** The most that one call of the sink is given. */
  readonly limit: { readonly changes: number; readonly bytes: number }
  readonly retry: Backoff
  readonly signal: AbortSignal
  /** These are fed back now: what is appended to them meanwhile had better wait a little than go behind them. */
  readonly feeding: (fields: readonly string[]) => void
  /** Runs one step, from the offer until Redis knows what came of it, as soon as the sink may be offered something. */
  readonly step: (work: () => Promise<void>) => Promise<void>
  /** Offers runs to the sink: one outcome each. */
  readonly offer: (runs: readonly Run[]) => Promise<readonly Outcome[]>
  /** Nothing of the key is parked any more: what comes next goes to the sink. */
  readonly freed: (field: string, key: string, changes: number) => void
  /** The sink rejects it again. */
  readonly refused: (field: string, key: string, error: HeadwaterError) => void
  readonly superseded: (count: number) => void
  readonly fenced: () => Error
}

const keysAtOnce = 100
const sizeAtOnce = 4_194_304

/** The copies of one key that are on their way, oldest first. */
interface Queue {
  readonly field: string
  copies: ParkedCopy[]
  fed: number
  /** A worker died of it, or of what was offered with it: it shares no call. */
  readonly alone: boolean
  /** Somebody has given up what is left of it. */
  gone: boolean
}

/**
 * Feeds parked keys back to the sink, as the owner of their partition: the copies of a key go in order, and what the
 * application changes meanwhile is still set aside behind them. When the last copy is gone, the marker goes with it in one
 * step. It may stop anywhere: the next owner finds the same markers, and what the sink has already is stale to it.
 */
export class Redriver {
  readonly #options: RedriverOptions
  readonly #store: ParkedStore

  constructor(options: RedriverOptions) {
    const { request, signal } = options
    this.#options = options
    this.#store = new ParkedStore({ ...options, ...request, deadlineMs: request.leaseMs, signal })
  }

  /** Goes on until no key is left that somebody asked for. Rejects with the signal's reason when it aborts. */
  async run(): Promise<void> {
    for (;;) {
      this.#options.signal.throwIfAborted()
      const asked = [...(await this.#store.keys())].filter(([, { redrive }]) => redrive)
      if (asked.length === 0) return
      await this.#feed(new Map(asked.slice(0, keysAtOnce)))
    }
  }

  async #feed(markers: ReadonlyMap<string, ParkedKey>): Promise<void> {
    this.#options.feeding([...markers.keys()])
    const { collection, coalesce, partition } = this.#options
    const copies = await this.#store.copies(markers, sizeAtOnce)
    const dispatcher = new Dispatcher({ collection, coalesce, start: { epoch: 0, sequence: 0 } })
    const queues = new Map<string, Queue>()
    const found = [...copies.values()].some((of) => of.length > 0)
    for (const [field, of] of copies) {
      const [first] = of
      if (first?.change.collection === collection) {
        const alone = markers.get(field)!.deaths > 0
        queues.set(first.change.key, { field, copies: of, fed: 0, alone, gone: false })
      } else if (first || !found) {
        await this.#refuse(field, unfit(field, first?.change, collection))
      }
      // Else there was no room for it beside the others: it is for the next time.
    }
    for (const { copies: of } of queues.values()) {
      const changes = of.map(({ change }) => change)
      const { epoch, sequence: last } = changes.at(-1)!.stamp
      const { sequence: first } = changes[0]!.stamp
      dispatcher.push({ partition, id: '', epoch, first, last, time: 0, size: 0, changes }, 0)
    }
    await this.#drain(dispatcher, queues)
  }

  async #drain(dispatcher: Dispatcher, queues: ReadonlyMap<string, Queue>): Promise<void> {
    const { limit, retry, signal, step } = this.#options
    while (dispatcher.waiting > 0) {
      signal.throwIfAborted()
      const taken = dispatcher.take(limit.changes, limit.bytes, (key) => queues.get(key)!.alone)
      const runs = taken.filter((run) => !queues.get(run.change.key)!.gone)
      for (const run of taken) if (!runs.includes(run)) dispatcher.settle(run)
      if (runs.length === 0) continue
      const later: Run[] = []
      await step(async () => {
        later.push(...(await this.#offer(runs, dispatcher, queues)))
      })
      if (later.length === 0) continue
      await pause(backoffMs(retry, 1 + Math.max(...later.map(({ attempts }) => attempts))), signal)
      for (const run of later) dispatcher.resume(run)
    }
  }

  /** Gives the runs that the sink wants to see again later. */
  async #offer(
    runs: readonly Run[],
    dispatcher: Dispatcher,
    queues: ReadonlyMap<string, Queue>,
  ): Promise<readonly Run[]> {
    const fieldOf = (run: Run): string => queues.get(run.change.key)!.field
    await this.#note('offer', runs.map(fieldOf))
    const outcomes = await this.#options.offer(runs)
    const later: Run[] = []
    for (const [index, run] of runs.entries()) {
      const outcome = outcomes[index]!
      const queue = queues.get(run.change.key)!
      if (outcome.kind === 'retry') {
        dispatcher.postpone(run)
        later.push(run)
      } else if (outcome.kind === 'reject' || outcome.kind === 'gap') {
        const rejected = dispatcher.reject(run)
        if (!rejected) continue
        await this.#refuse(queue.field, outcome.error)
        dispatcher.parked(rejected)
      } else {
        await this.#fed(queue, run)
        dispatcher.settle(run)
      }
    }
    if (later.length > 0) await this.#note('answered', later.map(fieldOf))
    return later
  }

  async #note(what: 'offer' | 'answered', fields: readonly string[]): Promise<void> {
    await this.#asOwner('noting what is fed back', (client, request, token) =>
      noteOffer(client, request, token, what, fields),
    )
  }

  /** The sink has the change of a run, and so what it stood for. */
  async #fed(queue: Queue, { change, count }: Run): Promise<void> {
    const { freed, superseded } = this.#options
    superseded(count - 1)
    const copies = queue.copies.slice(0, count)
    queue.copies = queue.copies.slice(count)
    queue.fed += count
    const leaving: Leaving = { field: queue.field, copies, next: queue.copies[0] }
    const answer = await this.#asOwner('taking a fed back change out', (client, request, token) =>
      feedBack(client, request, token, leaving),
    )
    if (answer !== 'freed') return
    queue.gone = true
    freed(queue.field, change.key, queue.fed)
  }

  async #refuse(field: string, error: HeadwaterError): Promise<void> {
    const answer = await this.#asOwner('keeping a key parked', (client, request, token) =>
      refuseRedrive(client, request, token, field, error),
    )
    const parked = parseField(field)
    if (answer === 'refused') this.#options.refused(field, 'key' in parked ? parked.key : parked.entry, error)
  }

  async #asOwner<Answer>(
    doing: string,
    command: (client: RedisClient, request: LeaseRequest, token: number) => Promise<Answer | 'fenced'>,
  ): Promise<Answer> {
    const { connection, request, token, fenced } = this.#options
    // Also when it is told to stop: the sink has the change already.
    const options = { doing, deadlineMs: request.leaseMs }
    const answer = await persist(connection, options, (client) => command(client, request, token))
    if (answer === 'fenced') throw fenced()
    return answer
  }
}

/** Why a key cannot be fed back at all. */
function unfit(field: string, change: Change | undefined, collection: string): HeadwaterError {
  if (change) {
    return new HeadwaterError(
      'SINK_MISCONFIGURED',
      `The sink takes ${collection}, and this is of ${change.collection}.`,
    )
  }
  if (field.startsWith('#')) {
    return new HeadwaterError('CHANGE_UNREADABLE', 'It holds no change that could be fed back: drop it.')
  }
  return new HeadwaterError('LOG_DAMAGED', 'The copies of its changes are gone from Redis: drop it.')
}
