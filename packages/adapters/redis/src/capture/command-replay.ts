import { createReadStream, statSync } from 'node:fs'
import { HeadwaterError } from '@headwater/core'
import { readRdb } from '@headwater/rdb'
import { Bell } from './bell.ts'
import type { CaptureEvent } from './capture-event.ts'
import type { CaptureTelemetry } from './capture-telemetry.ts'
import type { CommandFilter } from './command-filter.ts'
import { CommandParser } from './command-parser.ts'
import {
  bookkeepingPrefix,
  type CommandTarget,
  type SavedProgress,
  type TargetCommand,
  TargetWentBack,
} from './command-target.ts'
import { CopyProgress } from './copy-progress.ts'
import { holdExpiry } from './held-expiry.ts'
import { rebuild } from './rebuild.ts'
import { rebuildRestored } from './restored-value.ts'
import type { SourceReader } from './source-reader.ts'
import { type SourceTransaction, TransactionAssembler } from './source-transaction.ts'
import { type Spool, SpoolReplaced } from './spool.ts'

/** What one transaction at the target holds at most, unless one of the source is larger. */
const COMMANDS_MAX = 1_000
const BYTES_MAX = 1 << 20
const DUMP_CHUNK_BYTES = 1 << 18
const prefix = Buffer.from(bookkeepingPrefix)

/** What the replay works with. */
export interface CommandReplayOptions {
  readonly spool: Spool
  readonly target: CommandTarget
  readonly filter: CommandFilter
  /** Asked where the keys of commands are, where there is a filter. */
  readonly reader: SourceReader
  readonly telemetry: CaptureTelemetry
  readonly onEvent: (event: CaptureEvent) => void
  /** Called when the spool cannot go on from where the target is, and was cleared. */
  readonly reattach: () => void
  readonly signal: AbortSignal
}

/** Applies what is in the spool to the target: the dump first, if there is one, then the stream. */
export class CommandReplay {
  readonly #options: CommandReplayOptions
  readonly #bell = new Bell()

  constructor(options: CommandReplayOptions) {
    this.#options = options
  }

  /** Offset up to which the target has the stream; undefined during a full copy. */
  get offset(): number | undefined {
    const { saved } = this.#options.target
    return goesOn(saved, this.#options.filter) ? saved.offset : undefined
  }

  /** Settles when `offset` has changed. */
  get moved(): Promise<void> {
    return this.#bell.next
  }

  /** Runs until the signal; rejects with what cannot be mended by trying again. */
  async run(): Promise<void> {
    const { spool, target, filter, reader, signal, onEvent } = this.#options
    await filter.prepare(reader)
    while (!signal.aborted) {
      try {
        await spool.ready(signal)
        await this.#applySpool()
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof TargetWentBack)
          onEvent({ kind: 'target-went-back', offset: target.saved?.offset })
        else if (!(error instanceof SpoolReplaced)) throw error
      }
    }
  }

  async #applySpool(): Promise<void> {
    const { spool, target, filter, reattach } = this.#options
    const { generation, dumpFile } = spool
    const { saved } = target
    if (goesOn(saved, filter) && spool.covers(saved)) return await this.#follow(generation, saved)
    if (dumpFile === undefined) {
      await spool.clear()
      return reattach()
    }
    await this.#copy(generation, dumpFile)
    await this.#follow(generation, target.saved!)
  }

  async #copy(generation: number, dumpFile: string): Promise<void> {
    const { spool, target, filter, onEvent, signal } = this.#options
    const startedAt = performance.now()
    const copying: SavedProgress = {
      phase: 'copying',
      ...spool.start,
      database: 0,
      scope: filter.scope,
    }
    await target.empty(copying)
    const progress = new CopyProgress('applying', statSync(dumpFile).size, onEvent)
    const batch = new Batch()
    let keys = 0
    let streamDatabase = 0
    // Nothing that was not checked to its end may reach the target as complete: the phase changes behind `end` only.
    for await (const item of readRdb(counted(dumpFile, progress, signal))) {
      if (spool.generation !== generation) throw new SpoolReplaced()
      if (item.kind === 'aux' && item.name === 'repl-stream-db')
        streamDatabase = Number(item.value.toString())
      if (item.kind === 'entry' && (isBookkeeping(item.key) || !filter.takesEntry(item))) continue
      if (item.kind === 'entry') keys++
      const database = item.kind === 'entry' ? item.database : 0
      for (const args of rebuild(item)) {
        batch.add({ database, args })
        if (batch.isFull) await target.commit(batch.take(), copying)
      }
    }
    await target.commit(batch.take(), {
      ...copying,
      phase: 'following',
      // -1 when no database was selected in the stream yet: then a SELECT comes first.
      database: Math.max(0, streamDatabase),
    })
    spool.dropDump()
    onEvent({ kind: 'copied', keys, seconds: (performance.now() - startedAt) / 1_000 })
    this.#bell.ring()
  }

  async #follow(generation: number, from: SavedProgress): Promise<void> {
    const { spool, target, filter, telemetry, signal } = this.#options
    const { scope } = filter
    const parser = new CommandParser(from.offset)
    const assembler = new TransactionAssembler(from.database)
    const batch = new Batch()
    let read = from.offset
    let reached: SourceTransaction | undefined
    const commit = async () => {
      if (reached === undefined) return
      const { end, database } = reached
      reached = undefined
      const { replicationId } = spool.start
      const commands = batch.take()
      await target.commit(commands, { phase: 'following', replicationId, offset: end, database, scope })
      telemetry.changed(undefined, 'replayed', commands.length)
      spool.release(end)
      this.#bell.ring()
    }
    for (;;) {
      const chunk = await spool.read(generation, read, signal)
      read += chunk.length
      for (const command of parser.push(chunk)) {
        const transaction = assembler.push(command)
        if (transaction === undefined) continue
        for (const { database, args } of transaction.commands) {
          const taken = await filter.replayed(database, args)
          const kept = taken && replayed(taken)
          if (!kept) continue
          const isRestore = /^RESTORE(-ASKING)?$/i.test(kept[0]!.toString('latin1'))
          const commands = isRestore ? await rebuildRestored(kept, Date.now()) : [kept]
          for (const args of commands.flatMap((command) => filter.ofTypes(command)))
            batch.add({ database, args })
        }
        reached = transaction
        if (batch.isFull) await commit()
      }
      await commit()
    }
  }
}

/** Whether a target can go on: it has all of what is captured now, up to an offset. */
export function goesOn(
  saved: SavedProgress | undefined,
  { scope }: CommandFilter,
): saved is SavedProgress & { readonly phase: 'following' } {
  return saved?.phase === 'following' && saved.scope === scope
}

/** What of a command of the source is replayed: undefined for what concerns only the source, or is bookkeeping. */
function replayed(args: readonly Buffer[]): readonly Buffer[] | undefined {
  const name = args[0]!.toString('latin1').toUpperCase()
  if (name === 'EVAL' || name === 'EVALSHA') {
    throw new HeadwaterError(
      'SOURCE_REFUSED',
      'The source replicates scripts instead of what they did. Set lua-replicate-commands to yes there.',
    )
  }
  if (name === 'PUBLISH' && args[1]?.toString('latin1') === '__sentinel__:hello') return undefined
  if (args[1] !== undefined && isBookkeeping(args[1])) return undefined
  return holdExpiry(args, Date.now())
}

function isBookkeeping(key: Buffer): boolean {
  return key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0
}

async function* counted(file: string, progress: CopyProgress, signal: AbortSignal): AsyncGenerator<Buffer> {
  const chunks = createReadStream(file, { highWaterMark: DUMP_CHUNK_BYTES, signal })
  for await (const chunk of chunks as AsyncIterable<Buffer>) {
    progress.add(chunk.length)
    yield chunk
  }
}

/** Commands for one transaction. */
class Batch {
  #commands: TargetCommand[] = []
  #bytes = 0

  get isFull(): boolean {
    return this.#commands.length >= COMMANDS_MAX || this.#bytes >= BYTES_MAX
  }

  add(command: TargetCommand): void {
    this.#commands.push(command)
    for (const { length } of command.args) this.#bytes += length
  }

  take(): readonly TargetCommand[] {
    const commands = this.#commands
    this.#commands = []
    this.#bytes = 0
    return commands
  }
}
