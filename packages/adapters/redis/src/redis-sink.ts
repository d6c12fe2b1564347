import { HeadwaterError, type Collection, type Sink } from '@headwater/core'
import { dataKeys } from './data-keys.ts'
import { noteLayout, takePartition } from './partition-scripts.ts'
import type { RedisClient } from './redis-client.ts'
import { listRows, readValues } from './redis-compare.ts'
import { digestRows, listCellRows } from './redis-digest.ts'
import { clusterKeys, serverKeys } from './redis-keys.ts'
import { RedisPartition } from './redis-partition.ts'
import { replaceRows } from './redis-replace.ts'
import type { RedisTarget, ValueLayout } from './redis-target.ts'

export interface RedisSinkOptions<T> {
  /** An ioredis `Redis` or `Cluster` without `keyPrefix`. It stays the caller's: it is never closed here. */
  readonly client: RedisClient
  readonly collection: Collection<T, unknown>
  /**
   * The Redis key of an entity: a text with `{key}` in it, such as `product:{key}`, or a function of the entity's key
   * that gives each entity a name of its own. On a Cluster `product:{{key}}` makes the entity's key the hash tag.
   */
  readonly key: string | ((key: string) => string)
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
  const {
    client,
    collection,
    key,
    value: layout = 'json',
    prefix = `headwater:sink:${collection.name}`,
  } = options
  checkOptions(client, layout, prefix)
  const names = dataKeys(key, prefix)
  const name = `redis keys ${JSON.stringify(names.label)} of "${collection.name}"`
  const keys = client.isCluster ? clusterKeys(prefix) : serverKeys(prefix)
  const target: RedisTarget = { name, client, keys, dataKeys: names, layout }
  return {
    name,
    collection: collection as Collection<T>,
    capabilities: {
      transactions: !client.isCluster,
      list: true,
      read: true,
      replace: true,
      digest: !client.isCluster,
      snapshot: !client.isCluster,
      // Calls of one partition would only wait for each other: a server runs one script at a time.
      concurrency: 1,
      batch: { changes: 500, bytes: 1_048_576 },
    },
    prepare: () => checkLayout(target, `${layout} ${names.fingerprint}`),
    async open({ lineage, group, partition, fence, signal }) {
      signal?.throwIfAborted()
      const right = { group, partition, fence }
      return new RedisPartition(target, right, await takePartition(target, right, lineage))
    },
    list: ({ signal } = {}) => listRows(target, signal),
    ...(!client.isCluster && {
      digest: (query) => digestRows(target, query),
      listCells: (query) => listCellRows(target, query),
    }),
    read: (keys) => readValues(target, keys),
    replace: (replacements) => replaceRows(target, replacements),
    async close() {
      // The client is the caller's.
    },
  }
}

function checkOptions(client: RedisClient, layout: string, prefix: string): void {
  if (typeof client?.evalsha !== 'function')
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
async function checkLayout(target: RedisTarget, layout: string): Promise<void> {
  const noted = await noteLayout(target, layout)
  if (noted === layout) return
  throw new HeadwaterError(
    'SINK_MISCONFIGURED',
    `The ${target.name} are to be laid out as ${JSON.stringify(layout)}, but ${JSON.stringify(target.keys.progress)} says ` +
      `that they are laid out as ${JSON.stringify(noted)}: use that layout, or another prefix for a new copy.`,
  )
}
