import { canonicalJson } from '../change/canonical-json.ts'
import { compareStamps } from '../change/stamp.ts'
import { formatVersion } from '../change/version.ts'
import type { Collection } from '../collection/collection.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { HybridClock } from '../nodes/hybrid-clock.ts'
import { winnerOf, type ElectionRules } from '../nodes/winner.ts'
import { pause, persist } from '../redis/persist.ts'
import { redisError, redisErrorKind } from '../redis/redis-error.ts'
import { StateHeads } from '../state/state-heads.ts'
import { isSameValue } from '../verify/content.ts'
import { startWorker, type Worker } from '../worker/worker.ts'
import { electedFrom, electedMetadata, formatFolded, parseFolded } from './folded-key.ts'
import { foldSink } from './fold-sink.ts'
import { hold } from './hold.ts'
import { siteKeys, siteNode, type SiteNode } from './site-node.ts'

export interface SiteOptions<T> extends ElectionRules<T> {
  /** As the other sites know it; the name of every version that is written here, for ever. */
  readonly name: string
  /** The other sites: by name their logs, connected from here. They stay the caller's. */
  readonly peers: Readonly<Record<string, Log>>
  /** How often the nodes are asked for what is new, in ms. Default 100. */
  readonly pollMs?: number
  /** How far ahead of our clock a version may be that comes from elsewhere, in ms. Default 1,000. */
  readonly driftMsMax?: number
  readonly onEvent?: (event: SiteEvent) => void
}

/** What a site tells about itself. Told once, and again only after it went well in between. */
export type SiteEvent =
  /** A peer, or the own log, cannot be worked with now; it is tried again. */
  | { readonly kind: 'retrying'; readonly with: string; readonly error: HeadwaterError }
  /** A version is too far ahead of our clock. It stays outside until our clock has come near it. */
  | { readonly kind: 'drift'; readonly with: string; readonly key: string; readonly error: HeadwaterError }
  /** The elected value cannot enter this log: its schema is another one here. */
  | { readonly kind: 'refused'; readonly key: string; readonly error: HeadwaterError }

export interface Site extends AsyncDisposable {
  readonly name: string
  /** What this site holds: for `syncRound`, and for looking at. */
  readonly node: SiteNode
  /** Stops following. What is under way is gone on with by the next start. Safe to call twice. */
  stop(): Promise<void>
}

const keysAtOnce = 200
const lookAgainMs = 20

/**
 * Makes a log one of several writing sites. Applications write to the log as to any other. Three things go on beside it, each
 * of which may be interrupted anywhere and done again: the log is folded into the site's node, each change with the context
 * in which it was written; what the nodes of the others hold is merged into it; and where that elects another value than
 * the log has, it enters the log as a change, at exactly the version that was looked at. What entered so is no write of
 * this site, and so goes nowhere from here.
 *
 * @throws HeadwaterError OPTION_INVALID, STATE_REQUIRED
 */
export async function startSite<T>(
  log: Log,
  collection: Collection<T>,
  options: SiteOptions<T>,
): Promise<Site> {
  const { name, peers, onEvent } = options
  const names = [name, ...Object.keys(peers)]
  const unusable = names.find((each) => !/^[a-z][a-z0-9_-]{0,31}$/.test(each))
  if (unusable !== undefined || new Set(names).size < names.length) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `Sites ${names.join(', ')}: each needs a name of its own, 1 to 32 of a-z, 0-9, "_" and "-".`,
    )
  }
  if (collection.decides || collection.state !== 'values') {
    throw new HeadwaterError(
      'STATE_REQUIRED',
      `Collection ${collection.name} keeps no values that sites could agree on.`,
    )
  }
  const parts = logParts(log)
  const node = siteNode(log, name, collection)
  const worker = await startWorker(log, {
    groups: {
      [`site-${collection.name}`]: {
        sink: foldSink(parts, name, collection, node),
        // Each change counts: what was elected in between says what the next one was written over.
        coalesce: false,
        // Nor is one set aside because processes died beside it: its key would never come to an agreement again.
        deathsMax: 1_000,
        attemptsMax: 1_000_000,
      },
    },
    leaseMs: 4_000,
  })
  return new RunningSite(log, parts, collection, node, worker, options, onEvent ?? (() => {}))
}

class RunningSite<T> implements Site {
  readonly name: string
  readonly node: SiteNode
  readonly #log: Log
  readonly #parts: LogParts
  readonly #collection: Collection<T>
  readonly #options: SiteOptions<T>
  readonly #worker: Worker
  readonly #heads: StateHeads
  readonly #onEvent: (event: SiteEvent) => void
  readonly #abort = new AbortController()
  readonly #running: Promise<unknown>
  /** What was told, until it goes well. */
  readonly #told = new Set<string>()

  constructor(
    log: Log,
    parts: LogParts,
    collection: Collection<T>,
    node: SiteNode,
    worker: Worker,
    options: SiteOptions<T>,
    onEvent: (event: SiteEvent) => void,
  ) {
    const { hasher, metadata, connection, keys, deadlineMs } = parts
    this.name = options.name
    this.node = node
    this.#log = log
    this.#parts = parts
    this.#collection = collection
    this.#options = options
    this.#worker = worker
    this.#onEvent = onEvent
    const router = { hasher, partitions: metadata.partitions, buckets: metadata.buckets }
    this.#heads = new StateHeads(connection, keys, router, deadlineMs)
    const peers = Object.entries(options.peers).map(([name, peer]) => siteNode(peer, name, collection))
    this.#running = Promise.all([
      ...peers.map((peer) => this.#follow(peer, (keys) => this.#pull(peer, keys))),
      this.#follow(node, (keys) => this.#enterAll(keys)),
    ])
  }

  async stop(): Promise<void> {
    this.#abort.abort(new HeadwaterError('CLOSED', 'The site was stopped.'))
    await this.#running
    await this.#worker.stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** Lets every key that changes at a node be taken, and notes the place behind what was. */
  async #follow(node: SiteNode, take: (keys: readonly string[]) => Promise<void>): Promise<void> {
    const { signal } = this.#abort
    const { pollMs = 100 } = this.#options
    const { places } = siteKeys(this.#parts, this.#collection)
    const field = `follows ${node.name}`
    let place: string | undefined
    while (!signal.aborted) {
      try {
        place ??= (await this.#persist((client) => client.hget(places, field))) ?? '0-1'
        const { keys, place: next } = await node.changes(place)
        if (keys === 'all') await this.#takeAll(node, take)
        else await inPages(keys, take)
        if (next !== place) {
          const reached = next
          await this.#persist((client) => client.hset(places, field, reached))
          place = reached
        }
        this.#told.delete(node.name)
        if (keys !== 'all' && keys.length > 0) continue
      } catch (error) {
        if (signal.aborted) return
        this.#tell(node.name, { kind: 'retrying', with: node.name, error: toldOf(error) })
      }
      await pause(pollMs, signal).catch(() => {})
    }
  }

  async #takeAll(node: SiteNode, take: (keys: readonly string[]) => Promise<void>): Promise<void> {
    const page: string[] = []
    for await (const { key } of node.list()) {
      page.push(key)
      if (page.length === keysAtOnce) await take(page.splice(0))
    }
    await take(page)
  }

  /** Merges what a peer holds into our own node. Rejects while some of it is not admitted. */
  async #pull(peer: SiteNode, keys: readonly string[]): Promise<void> {
    this.#abort.signal.throwIfAborted()
    const rows = await peer.read(keys)
    const { driftMsMax } = this.#options
    const clock = new HybridClock(driftMsMax === undefined ? {} : { driftMsMax })
    let refused: HeadwaterError | undefined
    await Promise.all(
      rows.map(async (row, index) => {
        if (!row) return
        const key = keys[index]!
        const id = `${peer.name} ${key}`
        try {
          for (const { time } of row.versions.versions) clock.admit(time)
        } catch (error) {
          if (!isHeadwaterError(error, 'CLOCK_DRIFT')) throw error
          refused = error
          this.#tell(id, { kind: 'drift', with: peer.name, key, error })
          return
        }
        this.#told.delete(id)
        await hold(this.node, key, row.versions)
      }),
    )
    if (refused) throw refused
  }

  async #enterAll(keys: readonly string[]): Promise<void> {
    let open = keys
    while (open.length > 0) {
      this.#abort.signal.throwIfAborted()
      const outcomes = await Promise.all(open.map((key) => this.#enter(key)))
      open = open.filter((_key, index) => outcomes[index] === 'later')
      // The log has changed, or is about to be folded: that is a moment's work.
      if (open.length > 0) await pause(lookAgainMs, this.#abort.signal)
    }
  }

  /** Lets the elected value of a key enter the log, where that has another one. */
  async #enter(key: string): Promise<'done' | 'later'> {
    const collection = this.#collection
    const { folded: foldedKey } = siteKeys(this.#parts, collection)
    // In this order: what was folded the node holds, and what the log has beyond it shows.
    const folded = parseFolded(await this.#persist((client) => client.hget(foldedKey, key)))
    const [row] = await this.node.read([key])
    if (!row) return 'done'
    const [head] = await this.#heads.read(collection, [key])
    // It may be a write of this site, which the node has to hold first.
    if (head && (!folded || compareStamps(folded.at, head.stamp) < 0)) return 'later'
    const elected = winnerOf(row.versions as Parameters<typeof winnerOf<T>>[0], this.#options)
    const entity = await this.#log.get(collection, key)
    if (isSameValue(elected, entity?.value)) return 'done'
    const expected = head ? formatVersion(head.version, head.stamp.epoch) : 'absent'
    const metadata = { [electedMetadata]: formatFolded(electedFrom(row.versions)) }
    try {
      if (elected === undefined) await this.#log.append(collection.delete(key), { expected, metadata })
      else await this.#log.append(collection.put(elected), { expected, metadata })
    } catch (error) {
      if (isHeadwaterError(error, 'VERSION_CONFLICT')) return 'later'
      if (!isHeadwaterError(error, 'VALUE_INVALID') && !isHeadwaterError(error, 'KEY_INVALID')) throw error
      this.#tell(`refused ${key} ${canonicalJson(row.versions.seen)}`, { kind: 'refused', key, error })
    }
    return 'done'
  }

  #tell(id: string, event: SiteEvent): void {
    if (this.#told.has(id)) return
    this.#told.add(id)
    this.#onEvent(event)
  }

  #persist<R>(command: Parameters<typeof persist<R>>[2]): Promise<R> {
    const { connection, deadlineMs } = this.#parts
    return persist(connection, { doing: `keeping site ${this.name}`, deadlineMs }, command)
  }
}

async function inPages(
  keys: readonly string[],
  take: (keys: readonly string[]) => Promise<void>,
): Promise<void> {
  for (let from = 0; from < keys.length; from += keysAtOnce) await take(keys.slice(from, from + keysAtOnce))
}

function toldOf(error: unknown): HeadwaterError {
  return isHeadwaterError(error) ? error : redisError(redisErrorKind(error), 'following a site', error)
}
