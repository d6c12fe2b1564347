import { randomBytes } from 'node:crypto'
import type { AnyCollection, StateKept } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Connection } from '../redis/connection.ts'
import { persist, type PersistOptions } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { source as createCollectionLua } from './create-collection.lua.ts'
import { source as createMetadataLua } from './create-metadata.lua.ts'
import { source as createPartitionLua } from './create-partition.lua.ts'
import { checkDurability, durabilities, type Durability } from './durability.ts'
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

/** What is fixed when a collection is first connected. */
export interface StoredCollection {
  readonly name: string
  readonly state: StateKept
  /** Whether it is a decider, and so takes no values. */
  readonly decider: boolean
  /** Whether a partition key of its definition, and not the entity's key itself, decides where a key lives. */
  readonly partitionKey: boolean
}

export interface NamespaceWishes {
  readonly create?: boolean | undefined
  readonly partitions?: number | undefined
  readonly durability?: Durability | undefined
  readonly replicas?: number | undefined
}

/** The version of what is written in Redis. A program refuses to work with any other. */
const format = 1
/** Of each partition and collection; decision 1 says why neither more nor fewer. */
export const bucketsOfPartition = 8
const partitionsDefault = 8
export const partitionsMax = 1_024
const collectionPrefix = 'collection:'
const partitionKeyMark = 'partition-key'
const deciderMark = 'decider'

const createMetadata = script('create-metadata', createMetadataLua)
const createPartition = script('create-partition', epochLua, createPartitionLua)
const createCollection = script('create-collection', createCollectionLua)

/**
 * Creates the namespace where it does not exist, and checks that its settings are those that the caller expects.
 * Creation can be interrupted anywhere and is completed by the next connection; once it is complete, a partition's
 * header is never made again, so that a lost one is noticed. Without `create` nothing is written.
 */
export async function openNamespace(
  connection: Connection,
  namespace: string,
  wishes: NamespaceWishes,
  collections: readonly AnyCollection[],
  deadlineMs: number,
): Promise<{ metadata: NamespaceMetadata; keys: NamespaceKeys }> {
  const { create = true } = wishes
  const key = metadataKey(namespace)
  const doing = `opening the namespace ${JSON.stringify(namespace)}`
  const options = { doing, deadlineMs }
  const stored = await (create
    ? createStored(connection, options, key, wishes)
    : readStored(connection, options, key))
  if (stored.size === 0) throw unknownNamespace(namespace, 'does not exist in this Redis database')
  const metadata = parseMetadata(namespace, stored)
  checkWishes(namespace, metadata, wishes)
  await checkDurability(connection, metadata.durability, deadlineMs)

  const keys = namespaceKeys(namespace, metadata.partitions)
  if (stored.get('status') !== 'ready') {
    if (!create) throw unknownNamespace(namespace, 'was not created completely')
    for (const { header, log, producers, results, groups, holds } of keys.partitions) {
      const input = { keys: [header, log, producers, ...results, groups, holds], args: [metadata.lineage] }
      await persist(connection, options, (client) => createPartition.run(client, input))
    }
    await persist(connection, options, (client) => client.hset(key, 'status', 'ready'))
  }
  const known = collectionsOf(namespace, stored)
  for (const collection of collections) {
    const found = known.find(({ name }) => name === collection.name)
    if (found) {
      checkCollection(namespace, collection, found)
      continue
    }
    if (!create) throw unknownCollection(namespace, collection.name, known)
    const buckets = Array.from({ length: metadata.buckets }, (_, bucket) => bucket)
    for (const [partition, { header, digest, heads, values }] of keys.partitions.entries()) {
      if (collection.state === 'none') break
      const hashes = (collection.state === 'values' ? [heads, values] : [heads]).flatMap((hash) =>
        buckets.map((bucket) => hash(collection.name, bucket)),
      )
      const input = { keys: [header, digest(collection.name), ...hashes], args: [buckets.length] }
      const created = await persist(connection, options, (client) => createCollection.run(client, input))
      if (created === 'missing') throw missingHeader(namespace, partition)
    }
    await persist(connection, options, (client) =>
      client.hset(key, `${collectionPrefix}${collection.name}`, storedText(collection)),
    )
  }
  return { metadata, keys }
}

/** The collections that were ever connected, by name. */
export async function storedCollections(
  connection: Connection,
  namespace: string,
  deadlineMs: number,
): Promise<StoredCollection[]> {
  const options = { doing: 'reading the collections', deadlineMs }
  return collectionsOf(namespace, await readStored(connection, options, metadataKey(namespace)))
}

async function createStored(
  connection: Connection,
  options: PersistOptions,
  key: string,
  wishes: NamespaceWishes,
): Promise<Map<string, string>> {
  const proposed = [
    ['format', format],
    ['partitions', wishes.partitions ?? partitionsDefault],
    ['buckets', bucketsOfPartition],
    ['seed', randomBytes(8).toString('hex')],
    ['lineage', randomBytes(8).toString('hex')],
    ['durability', wishes.durability ?? 'memory'],
    ['replicas', wishes.replicas ?? 0],
    ['status', 'creating'],
  ].flat()
  const reply = await persist(connection, options, (client) =>
    createMetadata.run(client, { keys: [key], args: proposed }),
  )
  return fieldsOf(reply)
}

async function readStored(
  connection: Connection,
  options: PersistOptions,
  key: string,
): Promise<Map<string, string>> {
  return new Map(Object.entries(await persist(connection, options, (client) => client.hgetall(key))))
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

/** As it stands in the metadata: `values`, or `values decider partition-key`. */
function storedText({ state, decides, partitionKey }: AnyCollection): string {
  return [state, ...(decides ? [deciderMark] : []), ...(partitionKey ? [partitionKeyMark] : [])].join(' ')
}

function collectionsOf(namespace: string, stored: ReadonlyMap<string, string>): StoredCollection[] {
  return [...stored]
    .filter(([field]) => field.startsWith(collectionPrefix))
    .map(([field, text]) => {
      const [state, ...marks] = text.split(' ')
      if (state !== 'values' && state !== 'versions' && state !== 'none') throw broken(namespace, field, text)
      return {
        name: field.slice(collectionPrefix.length),
        state,
        decider: marks.includes(deciderMark),
        partitionKey: marks.includes(partitionKeyMark),
      } as const
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function checkCollection(namespace: string, collection: AnyCollection, stored: StoredCollection): void {
  const differs = (was: string, is: string): never => {
    throw new HeadwaterError(
      'NAMESPACE_MISMATCH',
      `Collection ${collection.name} of namespace ${JSON.stringify(namespace)} was created ${was}, not ${is}. This is fixed at creation.`,
    )
  }
  if (stored.state !== collection.state) differs(`with state "${stored.state}"`, `"${collection.state}"`)
  const decider = collection.decides !== undefined
  if (stored.decider !== decider)
    differs(
      decider ? 'as a collection of values' : 'as a decider',
      decider ? 'a decider' : 'a collection of values',
    )
  const partitionKey = collection.partitionKey !== undefined
  // Keys that are looked for in another partition than the one they live in are not found, and made twice.
  if (stored.partitionKey !== partitionKey)
    differs(`${partitionKey ? 'without' : 'with'} a partitionKey`, `${partitionKey ? 'with' : 'without'} one`)
}

function unknownNamespace(namespace: string, why: string): HeadwaterError {
  return new HeadwaterError(
    'NAMESPACE_UNKNOWN',
    `Namespace ${JSON.stringify(namespace)} ${why}. Correct the name, the server or its database number; the first program that may create it does.`,
  )
}

function unknownCollection(
  namespace: string,
  name: string,
  known: readonly StoredCollection[],
): HeadwaterError {
  const has = known.length === 0 ? 'none' : known.map((collection) => collection.name).join(', ')
  return new HeadwaterError(
    'COLLECTION_UNKNOWN',
    `Namespace ${JSON.stringify(namespace)} has no collection ${JSON.stringify(name)}; it has ${has}.`,
  )
}
