import { HeadwaterError } from '@headwater/core'
import { RdbError } from '@headwater/rdb'
import type { RedisOptions } from 'ioredis'
import type { CaptureEvent } from './capture-event.ts'
import { CaptureLag, type CaptureStatus, reaches } from './capture-lag.ts'
import { checkCaptureName, defaultSpool } from './capture-name.ts'
import { CaptureTelemetry } from './capture-telemetry.ts'
import { type CaptureFilter, CommandFilter } from './command-filter.ts'
import { CommandReplay, goesOn } from './command-replay.ts'
import { CommandTarget, type CommandTargetOptions } from './command-target.ts'
import { SourceReader } from './source-reader.ts'
import { type CaptureServer, serverOptions } from './source-address.ts'
import { runIdOf, sourcePosition } from './source-offset.ts'
import { Spool } from './spool.ts'
import { StreamReceiver } from './stream-receiver.ts'

/** What `startCommandCapture` captures, and where to. */
export interface CommandCaptureOptions {
  /** A Redis that is not touched, only asked to send what it sends its replicas. For Sentinel, options of ioredis. */
  readonly from: CaptureServer
  /** A single Redis, or Sentinel, that nobody else writes to. */
  readonly to: CaptureServer
  /** Tells captures into one target apart: 1 to 64 of letters, digits, "_", "." and "-". Default `default`. */
  readonly name?: string
  /** Folder for what the target does not have yet. Default: one by the name, in the user's folder for state. */
  readonly spool?: string
  /** Whether a target that holds other data, or was released or damaged, is emptied first. Default false. */
  readonly replace?: boolean
  /** What of the source is captured. Default: everything. */
  readonly only?: CaptureFilter
  readonly onEvent?: (event: CaptureEvent) => void
}

/** A capture that runs. */
export interface CommandCapture extends AsyncDisposable {
  /** Settles when it has stopped; rejects with what made it fail. */
  readonly done: Promise<void>
  status(): CaptureStatus
  /** Settles when the target has all that the source had at the time of the call; gives the source's offset then. */
  caughtUp(): Promise<number>
  /** Lets keys at the target expire by its own clock, as the source says, and stops: the target is on its own. */
  release(): Promise<void>
  /** Stops; what runs is finished. A later capture of the same name goes on from there. Safe to call twice. */
  stop(): Promise<void>
}

const LAG_LOOK_MS = 1_000

/**
 * Follows a Redis like a replica, and replays its transactions into another Redis, each once. While it follows, keys at
 * the target do not expire by themselves: the source's deletion arrives. Their times of expiry read `expiryHoldMs` later
 * until `release`.
 *
 * @throws HeadwaterError OPTION_INVALID, TARGET_REFUSED, CAPTURE_DAMAGED at once; these, SOURCE_REFUSED and
 * CAPTURE_FENCED later, by `done`
 */
export async function startCommandCapture(options: CommandCaptureOptions): Promise<CommandCapture> {
  const {
    name = 'default',
    spool: folder = defaultSpool('commands', name),
    replace = false,
    onEvent = () => {},
  } = options
  checkCaptureName(name)
  const filter = new CommandFilter(options.only)
  const source = serverOptions(options.from)
  const telemetry = new CaptureTelemetry(name, 'commands')
  const tell = (event: CaptureEvent): void => {
    telemetry.event(event)
    onEvent(event)
  }
  const stop = new AbortController()
  const targetOptions: CommandTargetOptions = {
    server: serverOptions(options.to),
    name,
    replace,
    source: await runIdOf(source),
    signal: stop.signal,
    onRetry: (error) => tell({ kind: 'retrying', side: 'target', error }),
  }
  const spool = Spool.open(folder)
  try {
    const target = await CommandTarget.open(targetOptions)
    return new RunningCapture(source, target, targetOptions, spool, filter, stop, tell, telemetry)
  } catch (error) {
    await spool.close()
    throw error
  }
}

class RunningCapture implements CommandCapture {
  readonly done: Promise<void>
  readonly #source: RedisOptions
  readonly #target: CommandTarget
  readonly #targetOptions: CommandTargetOptions
  readonly #spool: Spool
  readonly #stop: AbortController
  readonly #replay: CommandReplay
  readonly #receiver: StreamReceiver
  readonly #reader: SourceReader
  readonly #lag: CaptureLag
  readonly #telemetry: CaptureTelemetry

  constructor(
    source: RedisOptions,
    target: CommandTarget,
    targetOptions: CommandTargetOptions,
    spool: Spool,
    filter: CommandFilter,
    stop: AbortController,
    onEvent: (event: CaptureEvent) => void,
    telemetry: CaptureTelemetry,
  ) {
    this.#source = source
    this.#target = target
    this.#targetOptions = targetOptions
    this.#spool = spool
    this.#stop = stop
    const { signal } = stop
    this.#telemetry = telemetry
    this.#lag = new CaptureLag(
      () => spool.end,
      () => this.#replay.offset,
    )
    this.#reader = new SourceReader({ source, replicationId: () => undefined, onEvent, signal })
    this.#receiver = new StreamReceiver({
      source,
      spool,
      dump: true,
      saved: () => (goesOn(target.saved, filter) ? target.saved : undefined),
      onEvent,
      signal,
    })
    const reattach = () => this.#receiver.reattach()
    this.#replay = new CommandReplay({
      spool,
      target,
      filter,
      reader: this.#reader,
      telemetry,
      onEvent,
      reattach,
      signal,
    })
    telemetry.observe(() => this.status())
    this.done = this.#run()
    // Whoever does not look at `done` learns it from what he calls next.
    this.done.catch(() => {})
  }

  status(): CaptureStatus {
    return this.#lag.status()
  }

  async caughtUp(): Promise<number> {
    const { offset } = await sourcePosition(this.#source)
    await reaches(this.#replay, offset, this.done)
    return offset
  }

  async release(): Promise<void> {
    await this.stop()
    const { signal } = new AbortController()
    const target = await CommandTarget.open({ ...this.#targetOptions, replace: false, signal })
    try {
      await target.release()
    } finally {
      target.close()
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort(new HeadwaterError('CLOSED', 'The capture was stopped.'))
    await this.done
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop().catch(() => {})
  }

  async #run(): Promise<void> {
    const parts = [this.#receiver.run(), this.#replay.run()]
    const watch = setInterval(() => this.status(), LAG_LOOK_MS)
    try {
      await Promise.race(parts)
    } catch (error) {
      throw error instanceof RdbError
        ? new HeadwaterError('SOURCE_REFUSED', `The dump of the source cannot be copied: ${error.message}`, {
            cause: error,
          })
        : error
    } finally {
      this.#stop.abort(new HeadwaterError('CLOSED', 'The capture has failed.'))
      await Promise.allSettled(parts)
      clearInterval(watch)
      this.#telemetry.close()
      this.#reader.reset()
      this.#target.close()
      await this.#spool.close()
    }
  }
}
