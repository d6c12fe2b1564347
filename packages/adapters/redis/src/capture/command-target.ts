import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { HeadwaterError, isHeadwaterError } from '@headwater/core'
import type { Redis, RedisOptions } from 'ioredis'
import { source as beginSource } from './begin.lua.ts'
import { source as commitSource } from './commit.lua.ts'
import { expiryHoldMs } from './held-expiry.ts'
import { source as releaseSource } from './release.lua.ts'
import type { ReplicationPosition } from './replication-link.ts'
import { connectClient } from './source-address.ts'

/** Every key of ours in a target of commands begins so. What the source has under it is not copied. */
export const bookkeepingPrefix = 'headwater:capture:'

/** How far a target is. */
export interface SavedProgress extends ReplicationPosition {
  /** `copying`: the dump is not complete there. `released`: it was handed over, and keys expire by its clock. */
  readonly phase: 'copying' | 'following' | 'released'
  /** That is selected in the source's stream. */
  readonly database: number
  /** Which part of the source is captured; '' all of it. */
  readonly scope: string
}

/** A command for the target. */
export interface TargetCommand {
  readonly database: number
  readonly args: readonly (string | Buffer)[]
}

/** The target is further back than it was: a failover lost what it had acknowledged. */
export class TargetWentBack extends Error {}

/** Refusals that pass by themselves, and lost connections. */
const passing = /^(?:LOADING|READONLY|MASTERDOWN|BUSY|NOREPLICAS|MISCONF|OOM|TRYAGAIN|CLUSTERDOWN)\b/
const RETRY_MS = 200
const SCAN_COUNT = '500'

/** What a target is told about itself. */
export interface CommandTargetOptions {
  readonly server: RedisOptions
  readonly name: string
  /** Takes also a target that holds other data, which is then deleted. */
  readonly replace: boolean
  /** The run ID of the source: it must not be the target. */
  readonly source: string
  readonly signal: AbortSignal
  readonly onRetry: (error: Error) => void
}

/**
 * The Redis that commands are replayed into. Each step is one transaction, and saves in itself how far it is. Whoever
 * opens it last owns it: from then on no transaction of anybody before him takes place.
 */
export class CommandTarget {
  readonly #options: CommandTargetOptions
  readonly #key: string
  readonly #owner = randomBytes(9).toString('base64url')
  #client: Redis | undefined
  #saved: SavedProgress | undefined
  #step = 0

  private constructor(options: CommandTargetOptions) {
    this.#options = options
    this.#key = `${bookkeepingPrefix}${options.name}`
  }

  /** Connects and takes the target over. @throws HeadwaterError TARGET_REFUSED, CAPTURE_DAMAGED */
  static async open(options: CommandTargetOptions): Promise<CommandTarget> {
    const target = new CommandTarget(options)
    try {
      await target.#persist(() => target.#takeOver())
      return target
    } catch (error) {
      target.close()
      throw error
    }
  }

  /** How far it is; undefined when nothing was copied yet. */
  get saved(): SavedProgress | undefined {
    return this.#saved
  }

  /**
   * Runs commands as one transaction, and saves how far the target is then. Repeats it until it is known to have taken
   * place, once.
   *
   * @throws HeadwaterError CAPTURE_DAMAGED, CAPTURE_FENCED, TARGET_REFUSED; TargetWentBack; the signal's reason
   */
  async commit(commands: readonly TargetCommand[], progress: SavedProgress): Promise<void> {
    const next = this.#step + 1
    await this.#persist(async () => {
      const client = await this.#connected()
      // An earlier try took place, and only its reply was lost.
      if (this.#step === next) return
      await this.#transact(client, commands, progress, next)
    })
    this.#saved = progress
  }

  /** Deletes everything there, to make room for a copy. */
  async empty(progress: SavedProgress): Promise<void> {
    await this.commit(
      [
        { database: 0, args: ['FLUSHALL'] },
        ...((await this.#knowsFunctions()) ? [{ database: 0, args: ['FUNCTION', 'FLUSH'] }] : []),
      ],
      progress,
    )
  }

  /** Lets all keys expire by the target's clock, as at the source. Nothing may be applied afterwards. */
  async release(): Promise<void> {
    const { replicationId, offset, database, scope } = this.#saved!
    await this.#persist(async () => {
      const client = await this.#connected()
      for (const [, held] of (await client.info('keyspace')).matchAll(/^db(\d+):/gm)) {
        await client.select(Number(held))
        for (let cursor = '0', isFirst = true; isFirst || cursor !== '0'; isFirst = false) {
          const [next, keys] = (await client.callBuffer('SCAN', cursor, 'COUNT', SCAN_COUNT)) as [
            Buffer,
            Buffer[],
          ]
          if (keys.length > 0) await client.call('EVAL', releaseSource, keys.length, ...keys, expiryHoldMs)
          cursor = next.toString()
        }
      }
      await client.select(0)
    })
    await this.commit([], { phase: 'released', replicationId, offset, database, scope })
  }

  close(): void {
    this.#client?.disconnect()
    this.#client = undefined
  }

  async #transact(
    client: Redis,
    commands: readonly TargetCommand[],
    progress: SavedProgress,
    step: number,
  ): Promise<void> {
    const pipeline = client.pipeline()
    const call = (name: string, ...args: (string | Buffer | number)[]) => pipeline.call(name, ...args)
    call('MULTI')
    // A plain write: a full server refuses it before anything takes place.
    call('HSET', this.#key, 'owner', this.#owner)
    call('EVAL', beginSource, 1, this.#key)
    let selected = 0
    for (const { database, args } of commands) {
      const [name, ...rest] = args as readonly [string | Buffer, ...(string | Buffer)[]]
      if (String(name).toUpperCase() === 'SWAPDB') {
        // Bookkeeping stays where it is.
        if (selected !== 0) call('SELECT', 0)
        selected = 0
        call('DEL', this.#key)
      }
      if (database !== selected) call('SELECT', database)
      selected = database
      call(name.toString('latin1'), ...rest)
    }
    if (selected !== 0) call('SELECT', 0)
    const damage = `offset ${this.#saved?.offset ?? 0} to ${progress.offset}`
    call(
      'EVAL',
      commitSource,
      1,
      this.#key,
      damage,
      ...fieldsOf(progress),
      'owner',
      this.#owner,
      'step',
      step,
    )
    call('EXEC')
    // Already for the next transaction: it takes place only if nobody touches the bookkeeping from here on.
    call('WATCH', this.#key)
    call('HMGET', this.#key, 'owner', 'step')
    const replies = (await pipeline.exec()) ?? []
    const [execError, results] = replies.at(-3)!
    if (execError) throw queueError(replies.slice(0, -3), execError)
    if (results === null) throw await this.#fenceError()
    const failed = (results as unknown[]).find((result) => result instanceof Error)
    if (failed !== undefined) throw damaged(damage, failed)
    const [lost, held] = replies.at(-1)!
    if (lost) throw lost
    this.#step = step
    // Somebody took the target over between the transaction and the watch, which did not see it: the next one will.
    if ((held as [string])[0] !== this.#owner) this.close()
  }

  /** Looks who took the bookkeeping; when nobody did, the transaction is to be tried again. */
  async #fenceError(): Promise<Error> {
    this.close()
    await this.#connected()
    return new Error('the bookkeeping was touched during a transaction')
  }

  async #takeOver(): Promise<void> {
    const client = await this.#connect()
    this.#client = client
    const info = await client.info()
    if (/^cluster_enabled:1/m.test(info)) {
      throw new HeadwaterError(
        'TARGET_REFUSED',
        'A Cluster cannot hold one transaction over all its slots, so commands are not replayed into it. Use mode state.',
      )
    }
    if (new RegExp(`^run_id:${this.#options.source}\\b`, 'm').test(info))
      throw new HeadwaterError('OPTION_INVALID', 'Source and target are the same server.')
    const stored = await client.hgetall(this.#key)
    const isOurs = stored['phase'] !== undefined
    if (!isOurs && /^db\d+:/m.test(info) && !this.#options.replace) {
      throw new HeadwaterError(
        'TARGET_REFUSED',
        'The target holds data that is not of this capture. Empty it, or allow that it is replaced (--replace).',
      )
    }
    if (stored['phase'] === 'released' && !this.#options.replace) {
      throw new HeadwaterError(
        'TARGET_REFUSED',
        'The target was released: it may have been written to since. Capturing into it again replaces it (--replace).',
      )
    }
    if (stored['damage'] && !this.#options.replace) throw damaged(stored['damage'])
    await client.call('HSET', this.#key, 'owner', this.#owner)
    // Looked at again: whoever owned it may have gone on until the line before, and not longer.
    const left = await client.hgetall(this.#key)
    if (left['damage']) await client.call('HDEL', this.#key, 'damage')
    this.#saved = left['phase'] !== undefined && !left['damage'] ? progressOf(left) : undefined
    this.#step = Number(left['step'] ?? 0)
    await this.#watch(client)
  }

  /** A client whose next transaction takes place only if we own the target then. */
  async #connected(): Promise<Redis> {
    if (this.#client?.status === 'ready') return this.#client
    this.close()
    const client = await this.#connect()
    try {
      await this.#watch(client)
    } catch (error) {
      client.disconnect()
      throw error
    }
    this.#client = client
    return client
  }

  async #watch(client: Redis): Promise<void> {
    await client.call('WATCH', this.#key)
    const stored = await client.hgetall(this.#key)
    if (stored['owner'] !== undefined && stored['owner'] !== this.#owner) {
      throw new HeadwaterError(
        'CAPTURE_FENCED',
        `Another process captures into this target as ${this.#options.name}.`,
      )
    }
    if (stored['damage']) throw damaged(stored['damage'])
    const step = Number(stored['step'] ?? 0)
    if (step < this.#step) {
      this.#saved = stored['phase'] === undefined ? undefined : progressOf(stored)
      this.#step = step
      await client.call('HSET', this.#key, 'owner', this.#owner)
      throw new TargetWentBack()
    }
    this.#step = step
  }

  async #connect(): Promise<Redis> {
    const client = await connectClient(this.#options.server, 'headwater:capture')
    const role = (await client.call('ROLE')) as unknown[]
    if (role[0] === 'master') return client
    client.disconnect()
    throw new Error('READONLY the target is a replica')
  }

  async #knowsFunctions(): Promise<boolean> {
    return this.#persist(async () => {
      const [known] = (await (await this.#connected()).call('COMMAND', 'INFO', 'FUNCTION')) as unknown[]
      return known !== null
    })
  }

  /** Repeats what failed for a reason that passes. */
  async #persist<T>(attempt: () => Promise<T>): Promise<T> {
    const { signal, onRetry } = this.#options
    for (;;) {
      signal.throwIfAborted()
      try {
        return await attempt()
      } catch (error) {
        if (isHeadwaterError(error) || error instanceof TargetWentBack) throw error
        if (!(error instanceof Error)) throw error
        if (error.name === 'ReplyError' && !passing.test(error.message)) {
          throw new HeadwaterError('TARGET_REFUSED', `The target refused: ${withoutArguments(error)}.`)
        }
        onRetry(new Error(withoutArguments(error)))
        this.close()
      }
      await delay(RETRY_MS, undefined, { signal }).catch(() => {})
    }
  }
}

/** Why a transaction was not begun: what the server said of the first command that it refused. */
function queueError(replies: readonly [Error | null, unknown][], execError: Error): Error {
  const refused = replies.find(([error]) => error)?.[0]
  if (!refused || execError.name !== 'ReplyError' || passing.test(refused.message))
    return refused ?? execError
  return new HeadwaterError(
    'TARGET_REFUSED',
    `The target refused a command, and nothing of its transaction took place: ${withoutArguments(refused)}. Is it older than the source?`,
  )
}

function damaged(where: string, error?: Error): HeadwaterError {
  const reason = error ? ` met the error ${JSON.stringify(withoutArguments(error))}` : ' met an error'
  return new HeadwaterError(
    'CAPTURE_DAMAGED',
    `The transaction of ${where}${reason} at the target, so it differs from the source now: somebody else writes to it, or it is of another version. Find out which, then capture anew (--replace).`,
  )
}

// Redis repeats arguments of a command that it does not know, and these are data. So are those in errors of ioredis, which
// is why none of them is passed on as a cause.
function withoutArguments({ message }: Error): string {
  return message.replace(/,? with args beginning with.*$/s, '')
}

function fieldsOf({ phase, replicationId, offset, database, scope }: SavedProgress): (string | number)[] {
  return [
    'phase',
    phase,
    'replicationId',
    replicationId,
    'offset',
    offset,
    'database',
    database,
    'scope',
    scope,
  ]
}

function progressOf(stored: Record<string, string>): SavedProgress {
  return {
    phase: stored['phase'] as SavedProgress['phase'],
    replicationId: stored['replicationId']!,
    offset: Number(stored['offset']),
    database: Number(stored['database']),
    scope: stored['scope'] ?? '',
  }
}
