import type { Origin } from '@headwater/core'
import { Bell } from './bell.ts'
import type { CaptureEvent } from './capture-event.ts'
import type { CapturedCollection } from './captured-collection.ts'
import { anyDatabase, CommandKeys, type Touched } from './command-keys.ts'
import { CommandParser } from './command-parser.ts'
import { DirtyKeys } from './dirty-keys.ts'
import type { ReplicationPosition } from './replication-link.ts'
import type { SourceReader } from './source-reader.ts'
import { type SourceTransaction, TransactionAssembler } from './source-transaction.ts'
import { type Spool, SpoolReplaced } from './spool.ts'
import { parseProgress, scopeOf, type StateProgress } from './state-progress.ts'
import type { SourceMoment, StateWriter } from './state-writer.ts'
import { sweep } from './sweep.ts'

const DIRTY_MAX = 1_000

type StreamPlace = Pick<StateProgress, 'replicationId' | 'offset' | 'database'>

/** What the replay works with. */
export interface StateReplayOptions {
  readonly collections: readonly CapturedCollection[]
  readonly spool: Spool
  readonly origin: Origin
  readonly reader: SourceReader
  readonly writer: StateWriter
  readonly onEvent: (event: CaptureEvent) => void
  /** Called when the spool cannot go on from where the log is, and was cleared. */
  readonly reattach: () => void
  readonly signal: AbortSignal
}

/**
 * Brings the latest values of what the stream in the spool touches into the log. Where the stream does not go on from
 * what the log has, everything is compared first.
 */
export class StateReplay {
  readonly #options: StateReplayOptions
  readonly #bell = new Bell()
  readonly #dirty: DirtyKeys
  #commandKeys: CommandKeys | undefined
  #offset: number | undefined
  #generation = -1

  constructor(options: StateReplayOptions) {
    this.#options = options
    this.#dirty = new DirtyKeys(options.collections, options.writer)
  }

  /** Offset up to which the log has what the source did; undefined during a full copy. */
  get offset(): number | undefined {
    return this.#offset
  }

  /** Settles when `offset` has changed. */
  get moved(): Promise<void> {
    return this.#bell.next
  }

  /** Where the log is, for the source to continue from; undefined where everything has to be compared. */
  get saved(): ReplicationPosition | undefined {
    const progress = parseProgress(this.#options.origin.progress)
    const isOurs = progress?.scope === scopeOf(this.#options.collections)
    return isOurs && progress.phase === 'following' ? progress : undefined
  }

  /** Runs until the signal; rejects with what cannot be mended by trying again. */
  async run(): Promise<void> {
    const { spool, signal } = this.#options
    while (!signal.aborted) {
      try {
        await spool.ready(signal)
        await this.#applySpool()
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof SpoolReplaced)) throw error
      }
    }
  }

  async #applySpool(): Promise<void> {
    const { spool, origin, reader, writer } = this.#options
    const { generation } = spool
    // Offsets of one history only rise; another one may begin with lower ones.
    if (this.#generation >= 0 && this.#generation !== generation) await writer.persist(() => origin.renew())
    this.#generation = generation
    reader.reset()
    this.#commandKeys ??= await reader.ask(0, (client) => CommandKeys.of(client))
    const progress = parseProgress(origin.progress)
    if (progress && this.saved && spool.covers(progress)) {
      this.#tryAgain(progress)
      return await this.#follow(generation, progress)
    }
    if (spool.covers(spool.start)) return await this.#copy(generation)
    // What the spool has is the rest of something else.
    await spool.clear()
    this.#options.reattach()
  }

  async #copy(generation: number): Promise<void> {
    const { spool, onEvent } = this.#options
    const startedAt = performance.now()
    // Where the stream begins nobody knows which database is selected, until a SELECT says so.
    const from = { ...spool.start, database: anyDatabase }
    this.#offset = undefined
    await this.#save('copying', from)
    const keys = await this.#sweepAll()
    await this.#save('following', from)
    onEvent({ kind: 'copied', keys, seconds: (performance.now() - startedAt) / 1_000 })
    await this.#follow(generation, this.#progress('following', from))
  }

  async #follow(generation: number, from: StateProgress): Promise<void> {
    const { spool, signal } = this.#options
    const parser = new CommandParser(from.offset)
    const assembler = new TransactionAssembler(from.database)
    let read = from.offset
    let reached: SourceTransaction | undefined
    this.#moveTo(from.offset)
    const commit = async () => {
      if (reached === undefined) return
      const { end, database } = reached
      reached = undefined
      await this.#dirty.write(this.#moment)
      await this.#save('following', { ...spool.start, offset: end, database })
      spool.release(end)
      this.#moveTo(end)
    }
    let history = from.replicationId
    for (;;) {
      const chunk = await spool.read(generation, read, signal)
      read += chunk.length
      if (history !== spool.start.replicationId) {
        // A failover may have lost what was read ahead of the stream, and nothing in the stream would tell.
        history = spool.start.replicationId
        await this.#sweepAll()
      }
      for (const command of parser.push(chunk)) {
        const transaction = assembler.push(command)
        if (transaction === undefined) continue
        for (const { database, args } of transaction.commands) await this.#touch(database, args)
        reached = transaction
        if (this.#dirty.size >= DIRTY_MAX) await commit()
      }
      await commit()
    }
  }

  async #touch(database: number, args: readonly Buffer[]): Promise<void> {
    const { reader, collections } = this.#options
    const touched: Touched = await reader.ask(0, () =>
      this.#commandKeys!.touchedBy(() => reader.client(0), database, args),
    )
    if ('keys' in touched) {
      for (const { database: of, key } of touched.keys) this.#dirty.mark(of, key)
      return
    }
    for (const captured of collections) {
      if (touched.databases === 'all' || touched.databases.includes(captured.database))
        await this.#sweep(captured)
    }
  }

  async #sweep(captured: CapturedCollection): Promise<number> {
    return await sweep(captured, { ...this.#options, moment: this.#moment })
  }

  async #sweepAll(): Promise<number> {
    let keys = 0
    for (const captured of this.#options.collections) keys += await this.#sweep(captured)
    return keys
  }

  /** What has arrived is done at the source, so what is read from it now is at least as new. */
  readonly #moment = (): SourceMoment => {
    const { spool } = this.#options
    if (spool.generation !== this.#generation) throw new SpoolReplaced()
    return { position: spool.end, text: `${spool.start.replicationId}:${spool.end}` }
  }

  #tryAgain({ rejected }: StateProgress): void {
    for (const { collection, key } of rejected) {
      const captured = this.#options.collections.find((of) => of.collection.name === collection)
      if (captured) this.#dirty.mark(captured.database, captured.pattern.keyOf(key))
    }
  }

  #progress(phase: StateProgress['phase'], at: StreamPlace): StateProgress {
    const { writer, collections } = this.#options
    const rejected = writer.rejected.map(({ collection, key }) => ({ collection, key }))
    return { ...at, phase, scope: scopeOf(collections), rejected }
  }

  async #save(phase: StateProgress['phase'], at: StreamPlace): Promise<void> {
    const { writer, onEvent } = this.#options
    while ((await writer.save(JSON.stringify(this.#progress(phase, at)))) === 'log-may-have-lost') {
      onEvent({ kind: 'target-went-back', offset: this.#offset })
      await this.#sweepAll()
    }
  }

  #moveTo(offset: number): void {
    this.#offset = offset
    this.#bell.ring()
  }
}
