import { homedir } from 'node:os'
import { join } from 'node:path'
import { HeadwaterError } from '@headwater/core'
import { RdbError } from '@headwater/rdb'
import type { RedisOptions } from 'ioredis'
import type { CaptureEvent } from './capture-event.ts'
import { CommandReplay } from './command-replay.ts'
import { CommandTarget, type CommandTargetOptions } from './command-target.ts'
import { type CaptureServer, connectClient, serverOptions } from './source-address.ts'
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
  readonly onEvent?: (event: CaptureEvent) => void
}

/** How far a capture is. */
export interface CaptureStatus {
  /** Up to where the source's stream has arrived here. */
  readonly receivedOffset: number
  /** Up to where the target has it; undefined during a full copy. */
  readonly appliedOffset: number | undefined
  /** Received, and not applied. */
  readonly lagBytes: number
  /** Since everything received was last applied. */
  readonly lagSeconds: number
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
    spool: folder = defaultSpool(name),
    replace = false,
    onEvent = () => {},
  } = options
  if (!/^[a-zA-Z0-9_.-]{1,64}$/.test(name)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `name ${JSON.stringify(name)} must be 1 to 64 of letters, digits, "_", "." and "-".`,
    )
  }
  const source = serverOptions(options.from)
  const stop = new AbortController()
  const targetOptions: CommandTargetOptions = {
    server: serverOptions(options.to),
    name,
    replace,
    source: await runIdOf(source),
    signal: stop.signal,
    onRetry: (error) => onEvent({ kind: 'retrying', side: 'target', error }),
  }
  const spool = Spool.open(folder)
  try {
    const target = await CommandTarget.open(targetOptions)
    return new RunningCapture(source, target, targetOptions, spool, stop, onEvent)
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
  #caughtUpAt = performance.now()

  constructor(
    source: RedisOptions,
    target: CommandTarget,
    targetOptions: CommandTargetOptions,
    spool: Spool,
    stop: AbortController,
    onEvent: (event: CaptureEvent) => void,
  ) {
    this.#source = source
    this.#target = target
    this.#targetOptions = targetOptions
    this.#spool = spool
    this.#stop = stop
    const { signal } = stop
    this.#receiver = new StreamReceiver({
      source,
      spool,
      saved: () => (target.saved?.phase === 'following' ? target.saved : undefined),
      onEvent,
      signal,
    })
    const reattach = () => this.#receiver.reattach()
    this.#replay = new CommandReplay({ spool, target, onEvent, reattach, signal })
    this.done = this.#run()
    // Whoever does not look at `done` learns it from what he calls next.
    this.done.catch(() => {})
  }

  status(): CaptureStatus {
    const receivedOffset = this.#spool.end
    const appliedOffset = this.#replay.offset
    const lagBytes = appliedOffset === undefined ? 0 : Math.max(0, receivedOffset - appliedOffset)
    if (appliedOffset !== undefined && lagBytes === 0) this.#caughtUpAt = performance.now()
    return {
      receivedOffset,
      appliedOffset,
      lagBytes,
      lagSeconds: (performance.now() - this.#caughtUpAt) / 1_000,
    }
  }

  async caughtUp(): Promise<number> {
    const client = await connectClient(this.#source, 'headwater:capture:offset')
    const info = await client.info('replication').finally(() => client.disconnect())
    const offset = Number(/^master_repl_offset:(\d+)/m.exec(info)?.[1])
    while ((this.#replay.offset ?? -1) < offset) {
      const ended = await Promise.race([this.#replay.moved.then(() => false), this.done.then(() => true)])
      if (ended) throw new HeadwaterError('CLOSED', 'The capture was stopped before it had caught up.')
    }
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
      this.#target.close()
      await this.#spool.close()
    }
  }
}

/** @throws HeadwaterError SOURCE_UNAVAILABLE */
async function runIdOf(source: RedisOptions): Promise<string> {
  try {
    const client = await connectClient(source, 'headwater:capture:source')
    const info = await client.info('server').finally(() => client.disconnect())
    return /^run_id:(\w+)/m.exec(info)?.[1] ?? ''
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new HeadwaterError('SOURCE_UNAVAILABLE', `The source cannot be asked: ${reason}`, { cause: error })
  }
}

function defaultSpool(name: string): string {
  const state = process.env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state')
  return join(state, 'headwater', 'capture', name)
}
