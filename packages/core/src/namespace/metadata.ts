import { randomBytes } from 'node:crypto'
import type { AnyCollection, Collection, StateKept } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { source as createCollectionLua } from './create-collection.lua.ts'
import { source as createMetadataLua } from './create-metadata.lua.ts'
import { source as createPartitionLua } from './create-partition.lua.ts'
import { durabilities, type Durability } from './durability.ts'
import { source as epochLua } from './epoch.lua.ts'
import { metadataKey, namespaceKeys, type NamespaceKeys } from './keys.ts'

/** What is fixed when a namespace is created, and checked by every connection. */
export interface NamespaceMetadata {
  readonly format: number
  readonly partitions: number
  readonly buckets: number
  /** Seed of the content hash. */
  readonly seed: bigint
  /** The identity of this log. */
  readonly lineage: string
  readonly durability: Durability
  /** How many replicas the deployment has: what `replicated` and `all-replicas` count. */
  readonly replicas: number
}

export interface NamespaceWishes {
  readonly partitions?: number | undefined
  readonly durability?: Durability | undefined
  readonly replicas?: number | undefined
}

/** The version of what is written in Redis. A program refuses to work with any other. */
const format = 1
const buckets = 16
export const partitionsDefault = 8
export const partitionsMax = 1_024

const createMetadata = script('create-metadata', createMetadataLua)
const createPartition = script('create-partition', epochLua, createPartitionLua)
const createCollection = script('create-collection', createCollectionLua)

/**
 * Creates the namespace where it does not exist, and checks that its settings are those that the caller expects.
 * Creation can be interrupted anywhere and is completed by the next connection; once it is complete, a partition's
 * header is never made again, so that a lost one is noticed.
 */
export async function openNamespace(
  connection: Connection,
  namespace: string,
  wishes: NamespaceWishes,
  collections: readonly AnyCollection[],
  deadlineMs: number,
): Promise<{ metadata: NamespaceMetadata; keys: NamespaceKeys }> {
  const key = metadataKey(namespace)
  const doing = `opening the namespace ${JSON.stringify(namespace)}`
  const options = { doing, deadlineMs }
  const proposed = [
    ['format', format],
    ['partitions', wishes.partitions ?? partitionsDefault],
    ['buckets', buckets],
    ['seed', randomBytes(8).toString('hex')],
    ['lineage', randomBytes(8).toString('hex')],
    ['durability', wishes.durability ?? 'memory'],
    ['replicas', wishes.replicas ?? 0],
    ['status', 'creating'],
  ].flat()
  const reply = await persist(connection, options, (client) =>
    createMetadata.run(client, { keys: [key], args: proposed }),
  )
  const stored = fieldsOf(reply)
  const metadata = parseMetadata(namespace, stored)
  checkWishes(namespace, metadata, wishes)

  const keys = namespaceKeys(namespace, metadata.partitions)
  if (stored.get('status') !== 'ready') {
    for (const { header, log, producers, results, groups } of keys.partitions) {
      const input = { keys: [header, log, producers, ...results, groups], args: [metadata.lineage] }
      await persist(connection, options, (client) => createPartition.run(client, input))
    }
    await persist(connection, options, (client) => client.hset(key, 'status', 'ready'))
  }
  for (const collection of collections) {
    checkCollection(
      namespace,
      collection,
      stored.get(`collection:${collection.name}`) as StateKept | undefined,
    )
    if (stored.has(`collection:${collection.name}`)) continue
    for (const [partition, { header, digest, state }] of keys.partitions.entries()) {
      const states = Array.from({ length: metadata.buckets }, (_, bucket) => state(collection.name, bucket))
      const input = { keys: [header, digest(collection.name), ...states], args: [] }
      const created = await persist(connection, options, (client) => createCollection.run(client, input))
      if (created === 'missing') throw missingHeader(namespace, partition)
    }
    await persist(connection, options, (client) =>
      client.hset(key, `collection:${collection.name}`, collection.state),
    )
  }
  return { metadata, keys }
}

/** The collections that were ever connected, with what state they keep. */
export async function storedCollections(
  connection: Connection,
  namespace: string,
  deadlineMs: number,
): Promise<Map<string, StateKept>> {
  const options = { doing: 'reading the collections', deadlineMs }
  const stored = await persist(connection, options, (client) => client.hgetall(metadataKey(namespace)))
  const prefix = 'collection:'
  return new Map(
    Object.entries(stored)
      .filter(([field]) => field.startsWith(prefix))
      .map(([field, state]) => [field.slice(prefix.length), state as StateKept]),
  )
}

export function missingHeader(namespace: string, partition: number): HeadwaterError {
  return new HeadwaterError(
    'LOG_DAMAGED',
    `Partition ${partition} of namespace ${JSON.stringify(namespace)} has lost its header or state: were its keys flushed, deleted or evicted?`,
  )
}

function fieldsOf(reply: unknown): Map<string, string> {
  const flat = reply as string[]
  const fields = new Map<string, string>()
  for (let at = 0; at + 1 < flat.length; at += 2) fields.set(flat[at]!, flat[at + 1]!)
  return fields
}

function parseMetadata(namespace: string, stored: ReadonlyMap<string, string>): NamespaceMetadata {
  const integer = (field: string, min: number, max: number): number => {
    const text = stored.get(field) ?? ''
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < min || value > max) throw broken(namespace, field, text)
    return value
  }
  const hex = (field: string): string => {
    const text = stored.get(field) ?? ''
    if (!/^[0-9a-f]{16}$/.test(text)) throw broken(namespace, field, text)
    return text
  }
  const storedFormat = integer('format', 0, 65_535)
  if (storedFormat !== format) {
    throw new HeadwaterError(
      'NAMESPACE_MISMATCH',
      `Namespace ${JSON.stringify(namespace)} is stored in format ${storedFormat}; this version of Headwater knows format ${format}.`,
    )
  }
  const durability = stored.get('durability') as Durability
  if (!durabilities.includes(durability)) throw broken(namespace, 'durability', durability)
  return {
    format: storedFormat,
    partitions: integer('partitions', 1, partitionsMax),
    buckets: integer('buckets', 1, 64),
    seed: BigInt(`0x${hex('seed')}`),
    lineage: hex('lineage'),
    durability,
    replicas: integer('replicas', 0, 100),
  }
}

function broken(namespace: string, field: string, text: string): HeadwaterError {
  return new HeadwaterError(
    'LOG_DAMAGED',
    `The metadata of namespace ${JSON.stringify(namespace)} has ${field} ${JSON.stringify(text)}, which cannot be.`,
  )
}

function checkWishes(namespace: string, metadata: NamespaceMetadata, wishes: NamespaceWishes): void {
  for (const name of ['partitions', 'durability', 'replicas'] as const) {
    const wish = wishes[name]
    if (wish === undefined || wish === metadata[name]) continue
    throw new HeadwaterError(
      'NAMESPACE_MISMATCH',
      `Namespace ${JSON.stringify(namespace)} was created with ${name} ${metadata[name]}, not ${wish}. This is fixed at creation: use the stored value or another namespace.`,
    )
  }
}

function checkCollection(namespace: string, collection: Collection, stored: StateKept | undefined): void {
  if (stored === undefined || stored === collection.state) return
  throw new HeadwaterError(
    'NAMESPACE_MISMATCH',
    `Collection ${collection.name} of namespace ${JSON.stringify(namespace)} was created with state "${stored}", not "${collection.state}".`,
  )
}
