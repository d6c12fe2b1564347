import { HeadwaterError, type Collection, type Sink, type SinkVersions } from '@headwater/core'
import { dataKeys, templateOf, type KeyTemplate } from './data-keys.ts'
import { noteLayout, takePartition } from './partition-scripts.ts'
import { digestPlaces, listPlacesCells } from './places-digest.ts'
import type { RedisClient } from './redis-client.ts'
import { listRows, readValues } from './redis-compare.ts'
import { digestRows, listCellRows } from './redis-digest.ts'
import { clusterKeys, serverKeys } from './redis-keys.ts'
import { RedisPartition } from './redis-partition.ts'
import { replaceRows } from './redis-replace.ts'
import type { RedisTarget, ValueLayout } from './redis-target.ts'
import { pointedVersions, swappedVersions } from './redis-versions.ts'

export interface RedisSinkOptions<T> {
  /** An ioredis `Redis` or `Cluster` without `keyPrefix`. It stays the caller's: it is never closed here. */
  readonly client: RedisClient
  readonly collection: Collection<T, unknown>
  /**
   * The Redis key of an entity: a text with `{key}` in it, such as `product:{key}`, or a function of the entity's key
   * that gives each entity a name of its own. On a Cluster `product:{{key}}` makes the entity's key the hash tag.
   */
  readonly key: KeyTemplate
  /**
   * Lets `rebuild` build a new version beside the present one. Default: none can be built.
   *
   * - `pointer`: each version has key names of its own, by "{version}" in the template, and readers first read this key, which
   *   holds the number of the version to read
   * - `spare`: a client on another, empty database of the same server. When a version is switched, the two databases are swapped
   *   (`SWAPDB`), so readers need to know nothing; but both must hold nothing else than this sink
   */
  readonly versions?: { readonly pointer: string } | { readonly spare: RedisClient }
  /**
   * `json` (the default) stores a value as a string of canonical JSON; `hash` stores the properties of an object as the
   * fields of a hash: texts as they are unless they could be read as JSON, everything else as JSON.
   */
  readonly value?: ValueLayout
  /**
   * What the sink's own keys begin with. Default `headwater:sink:<collection>`: give another one when two sinks keep the
   * same collection in one Redis under different names.
   */
  readonly prefix?: string
}

/**
 * Keeps a Redis replica of a collection: plain strings or hashes under the user's own names. On one server (or behind
 * Sentinel) a batch and its position are one atomic step; on a Cluster the changes of each slot are.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export function redisSink<T>(options: RedisSinkOptions<T>): Sink<T> {
  const { client, collection, key, value: layout = 'json', versions } = options
  const { prefix = `headwater:sink:${collection.name}` } = options
  checkOptions(client, layout, prefix)
  const pointer = versions && 'pointer' in versions ? versions.pointer : undefined
  checkVersions(options)
  const targetOf = (template: string | ((key: string) => string), booksPrefix: string): RedisTarget => {
    const names = dataKeys(template, booksPrefix)
    return {
      name: `redis keys ${JSON.stringify(names.label)} of "${collection.name}"`,
      client,
      keys: client.isCluster ? clusterKeys(booksPrefix) : serverKeys(booksPrefix),
      dataKeys: names,
      layout,
    }
  }
  const onOne = (target: RedisTarget, prepare?: () => Promise<void>): Sink<T> =>
    sinkOn(collection, target, { present: async () => target, ...(prepare && { prepare }) })

  if (pointer !== undefined) {
    const ofVersion = (version: number): RedisTarget =>
      targetOf(templateOf(key, version), `${prefix}:v${version}`)
    return sinkOn(collection, ofVersion(1), pointedVersions(pointer, ofVersion, onOne))
  }
  const target = targetOf(key as string | ((key: string) => string), prefix)
  if (!versions || !('spare' in versions)) return onOne(target)
  return sinkOn(collection, target, swappedVersions(target, versions.spare, `${prefix}:version`, onOne))
}

/** @param target for what is the same in all versions */
function sinkOn<T>(
  collection: Collection<T, unknown>,
  target: RedisTarget,
  versioned: { present(): Promise<RedisTarget>; prepare?(): Promise<void>; versions?: SinkVersions<T> },
): Sink<T> {
  const { client, name } = target
  const { versions } = versioned
  const present = (): Promise<RedisTarget> => versioned.present()
  return {
    name,
    collection: collection as Collection<T>,
    capabilities: {
      transactions: !client.isCluster,
      list: true,
      read: true,
      replace: true,
      digest: true,
      snapshot: true,
      versions: versions !== undefined,
      // Calls of one partition would only wait for each other: a server runs one script at a time.
      concurrency: 1,
      batch: { changes: 500, bytes: 1_048_576 },
    },
    async prepare() {
      await versioned.prepare?.()
      const target = await present()
      checkLayout(target, await noteLayout(target, layoutOf(target)))
    },
    async check() {
      const target = await present()
      checkLayout(target, (await noteLayout(target)) || layoutOf(target))
    },
    async open({ lineage, group, partition, fence, signal }) {
      signal?.throwIfAborted()
      const right = { group, partition, fence }
      for (;;) {
        const opening = await present()
        const progress = await takePartition(opening, right, lineage)
        // Where it was switched meanwhile, the present version is another one.
        if (progress) return new RedisPartition(opening, right, progress)
      }
    },
    async *list({ signal } = {}) {
      yield* listRows(await present(), signal)
    },
    async digest(query) {
      const target = await present()
      return await (client.isCluster ? digestPlaces(target, query) : digestRows(target, query))
    },
    async *listCells(query) {
      const target = await present()
      yield* client.isCluster ? listPlacesCells(target, query) : listCellRows(target, query)
    },
    read: async (keys) => readValues(await present(), keys),
    replace: async (replacements) => replaceRows(await present(), replacements),
    ...(versions && { versions }),
    async close() {
      // The client is the caller's.
    },
  }
}

function checkVersions<T>({ client, key, versions }: RedisSinkOptions<T>): void {
  if (!versions) return
  if ('pointer' in versions) {
    if (typeof versions.pointer !== 'string' || versions.pointer === '')
      invalid('versions.pointer must be the name of a key.')
    return
  }
  if (client.isCluster)
    invalid('versions.spare needs a server with several databases; on a Cluster use versions.pointer.')
  if (typeof versions.spare?.sendCommand !== 'function' || versions.spare.isCluster)
    invalid('versions.spare must be a client of the same server on another database.')
  if ((versions.spare.options.db ?? 0) === (client.options.db ?? 0))
    invalid(`versions.spare is on database ${client.options.db ?? 0} as the client is: give it another one.`)
  if (typeof key === 'string' && key.includes('{version}'))
    invalid('the key template holds "{version}", and versions in databases have the same keys.')
}

function checkOptions(client: RedisClient, layout: string, prefix: string): void {
  if (typeof client?.sendCommand !== 'function')
    invalid('client must be a Redis or a Cluster of ioredis 5.11 or later.')
  if (client.options.keyPrefix) {
    const prefixed = JSON.stringify(client.options.keyPrefix)
    invalid(
      `the client has the keyPrefix ${prefixed}: give a client without one, and put it into the option key.`,
    )
  }
  if (layout !== 'json' && layout !== 'hash')
    invalid(`value ${JSON.stringify(layout)} must be "json" or "hash".`)
  if (typeof prefix !== 'string' || prefix === '' || /[{}]/.test(prefix)) {
    invalid(`prefix ${JSON.stringify(prefix)} must be a text without "{" and "}".`)
  }
}

function invalid(what: string): never {
  throw new HeadwaterError('OPTION_INVALID', `redisSink: ${what}`)
}

/** Two layouts under one bookkeeping would each take the other's rows for their own. */
function checkLayout(target: RedisTarget, noted: string): void {
  const layout = layoutOf(target)
  if (noted === layout) return
  throw new HeadwaterError(
    'SINK_MISCONFIGURED',
    `The ${target.name} are to be laid out as ${JSON.stringify(layout)}, but ${JSON.stringify(target.keys.progress)} says ` +
      `that they are laid out as ${JSON.stringify(noted)}: use that layout, or another prefix for a new copy.`,
  )
}

function layoutOf({ layout, dataKeys }: RedisTarget): string {
  return `${layout} ${dataKeys.fingerprint}`
}
