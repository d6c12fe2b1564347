import { HeadwaterError, isHeadwaterError, type Log, type Origin } from '@headwater/core'
import type { RedisOptions } from 'ioredis'
import type { CaptureEvent } from './capture-event.ts'
import { CaptureLag, type CaptureStatus, reaches } from './capture-lag.ts'
import { checkCaptureName, defaultSpool } from './capture-name.ts'
import { CaptureTelemetry } from './capture-telemetry.ts'
import { type CapturedCollection, checkCaptured } from './captured-collection.ts'
import { KeyspaceWatch } from './keyspace-watch.ts'
import { type CaptureServer, serverOptions } from './source-address.ts'
import { runIdOf, sourcePosition } from './source-offset.ts'
import { SourceReader } from './source-reader.ts'
import { Spool } from './spool.ts'
import { StateReplay } from './state-replay.ts'
import { type RejectedValue, StateWriter } from './state-writer.ts'
import { StreamReceiver } from './stream-receiver.ts'

/** What `startStateCapture` captures, and how. */
export interface StateCaptureOptions {
  /** A Redis that is not touched. For Sentinel, options of ioredis. */
  readonly from: CaptureServer
  /** What of it becomes which collection: at least one, made by `captured`. */
  readonly collections: readonly CapturedCollection[]
  /** The origin under which the log knows it: 1 to 64 of letters, digits, "_", "." and "-". Default `capture`. */
  readonly name?: string
  /**
   * How changes are noticed. `replication`: as a replica does, nothing is missed. `notifications`: where that is not
   * allowed; what a notification did not tell is found by the next rescan. Default `replication`.
   */
  readonly by?: 'replication' | 'notifications'
  /** Folder for what the log does not have yet, by replication. Default: one by the name, in the user's folder for state. */
  readonly spool?: string
  /** By notifications: how long after a rescan the next one begins, in ms, from 100. Default 300,000. */
  readonly rescanMs?: number
  readonly onEvent?: (event: CaptureEvent) => void
}

/** How far a capture of state is. By notifications there are no offsets: these are 0 and undefined. */
export interface StateCaptureStatus extends CaptureStatus {
  /** Values that could not enter the log as they are: it keeps the older ones. */
  readonly rejected: readonly RejectedValue[]
}

/** A capture of state that runs. */
export interface StateCapture extends AsyncDisposable {
  /** Settles when it has stopped; rejects with what made it fail. */
  readonly done: Promise<void>
  status(): StateCaptureStatus
  /** Settles when the log has all that the source had at the time of the call. */
  caughtUp(): Promise<void>
  /** Stops; what runs is finished. A later capture of the same name goes on from there. Safe to call twice. */
  stop(): Promise<void>
}

const LAG_LOOK_MS = 1_000
const RESCAN_MS = 300_000

/** What brings the changes, in one way or the other. */
interface StateWay {
  run(): Promise<void>
  caughtUp(done: Promise<void>): Promise<void>
  lag(): CaptureStatus
  close(): Promise<void>
}

/** What both ways work with. */
interface WayParts {
  readonly source: RedisOptions
  readonly origin: Origin
  readonly options: StateCaptureOptions
  readonly telemetry: CaptureTelemetry
  readonly onEvent: (event: CaptureEvent) => void
  readonly stop: AbortController
}

/**
 * Follows a Redis and brings the latest values of its keys into collections of a log, from where they reach any sink. What
 * the log has already is not appended again; deleted and expired keys become deletes. One process at a time: who starts
 * last goes on, and whoever captured before him under this name is fenced.
 *
 * @throws HeadwaterError OPTION_INVALID, STATE_REQUIRED, SOURCE_UNAVAILABLE at once; SOURCE_REFUSED, ORIGIN_FENCED and what
 * the log refuses for good later, by `done`
 */
export async function startStateCapture(log: Log, options: StateCaptureOptions): Promise<StateCapture> {
  const { collections, name = 'capture', by = 'replication', rescanMs = RESCAN_MS } = options
  checkCaptureName(name)
  checkCaptured(collections)
  if (by !== 'replication' && by !== 'notifications') {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `by ${JSON.stringify(by)} must be "replication" or "notifications".`,
    )
  }
  if (!Number.isInteger(rescanMs) || rescanMs < 100) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `rescanMs ${String(rescanMs)} must be a whole number from 100.`,
    )
  }
  const source = serverOptions(options.from)
  await runIdOf(source)
  const telemetry = new CaptureTelemetry(name, 'state')
  const onEvent = (event: CaptureEvent): void => {
    telemetry.event(event)
    options.onEvent?.(event)
  }
  const spool = by === 'replication' ? Spool.open(options.spool ?? defaultSpool('state', name)) : undefined
  try {
    const origin = await log.origin(name, { collections: collections.map(({ collection }) => collection) })
    const parts: WayParts = { source, origin, options, telemetry, onEvent, stop: new AbortController() }
    return new RunningStateCapture(parts, spool)
  } catch (error) {
    await spool?.close()
    throw error
  }
}

class RunningStateCapture implements StateCapture {
  readonly done: Promise<void>
  readonly #parts: WayParts
  readonly #writer: StateWriter
  readonly #way: StateWay

  constructor(parts: WayParts, spool: Spool | undefined) {
    const { source, origin, telemetry, onEvent, stop } = parts
    const { signal } = stop
    this.#parts = parts
    const reader = new SourceReader({
      source,
      replicationId: () => spool?.position?.replicationId,
      onEvent,
      signal,
    })
    this.#writer = new StateWriter({ origin, reader, telemetry, onEvent, signal })
    this.#way = spool
      ? byReplication(parts, spool, reader, this.#writer)
      : byNotifications(parts, reader, this.#writer)
    telemetry.observe(() => this.status())
    this.done = this.#run(reader)
    // Whoever does not look at `done` learns it from what he calls next.
    this.done.catch(() => {})
  }

  status(): StateCaptureStatus {
    return { ...this.#way.lag(), rejected: this.#writer.rejected }
  }

  async caughtUp(): Promise<void> {
    await this.#way.caughtUp(this.done)
  }

  async stop(): Promise<void> {
    this.#parts.stop.abort(new HeadwaterError('CLOSED', 'The capture was stopped.'))
    await this.done
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop().catch(() => {})
  }

  async #run(reader: SourceReader): Promise<void> {
    const { stop, telemetry } = this.#parts
    const watch = setInterval(() => this.status(), LAG_LOOK_MS)
    try {
      await this.#way.run()
    } catch (error) {
      if (!stop.signal.aborted) throw error
      if (isHeadwaterError(error) && error.code !== 'CLOSED') throw error
    } finally {
      stop.abort(new HeadwaterError('CLOSED', 'The capture has failed.'))
      clearInterval(watch)
      telemetry.close()
      reader.reset()
      await this.#way.close()
    }
  }
}

function byReplication(parts: WayParts, spool: Spool, reader: SourceReader, writer: StateWriter): StateWay {
  const { source, origin, options, stop } = parts
  const { signal } = stop
  const onEvent = (event: CaptureEvent): void => {
    // Values must come from the server whose stream is followed.
    if (event.kind === 'attached' || event.kind === 'full-copy') reader.reset()
    parts.onEvent(event)
  }
  const receiver: StreamReceiver = new StreamReceiver({
    source,
    spool,
    dump: false,
    saved: () => replay.saved,
    onEvent,
    signal,
  })
  const replay = new StateReplay({
    collections: options.collections,
    spool,
    origin,
    reader,
    writer,
    onEvent: parts.onEvent,
    reattach: () => receiver.reattach(),
    signal,
  })
  const lag = new CaptureLag(
    () => spool.end,
    () => replay.offset,
  )
  return {
    lag: () => lag.status(),
    async run() {
      const running = [receiver.run(), replay.run()]
      try {
        await Promise.race(running)
      } finally {
        stop.abort(new HeadwaterError('CLOSED', 'The capture has failed.'))
        await Promise.allSettled(running)
      }
    },
    async caughtUp(done) {
      const { offset } = await sourcePosition(source)
      await reaches(replay, offset, done)
    },
    close: () => spool.close(),
  }
}

function byNotifications(
  { source, origin, options, onEvent, stop }: WayParts,
  reader: SourceReader,
  writer: StateWriter,
): StateWay {
  const { collections, rescanMs = RESCAN_MS } = options
  const watch = new KeyspaceWatch({
    source,
    collections,
    origin,
    reader,
    writer,
    rescanMs,
    onEvent,
    signal: stop.signal,
  })
  return {
    lag: () => ({ receivedOffset: 0, appliedOffset: undefined, lagBytes: 0, lagSeconds: watch.lagSeconds }),
    run: () => watch.run(),
    caughtUp: (done) => watch.caughtUp(done),
    close: async () => {},
  }
}
