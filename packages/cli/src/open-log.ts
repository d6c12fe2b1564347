import {
  connect,
  HeadwaterError,
  isHeadwaterError,
  type AnyCollection,
  type ConnectOptions,
  type Log,
  type StoredCollection,
} from '@headwater/core'
import { CliError } from './cli-error.ts'
import type { Config } from './config.ts'
import { didYouMean } from './did-you-mean.ts'
import type { GlobalOptions } from './invocation.ts'
import { passthroughCollection } from './passthrough-collection.ts'
import { configOf, settingsOf, type Settings } from './settings.ts'

/** Somebody waits at the terminal: sooner than a program should, a command gives up. */
const deadlineMs = 5_000

/** Opens the log to look at it: creates nothing, and needs no definitions. */
export async function openLog(
  options: GlobalOptions,
  more: Pick<ConnectOptions, 'idempotencyWindowMs'> = {},
): Promise<Log> {
  return await look(await settingsOf(options), more)
}

/** How a command that writes finds its collection. */
export interface WriteOptions {
  /** Without a config: the property that holds the key, default `id`. */
  readonly key?: string
  /** Without a config: what the values are stored as, default 1. */
  readonly schemaVersion?: number
  /** Without a config: whether namespace and collection are created where they do not exist. */
  readonly create?: boolean
}

/** A log and the collection that a command is about; disposing of it closes the log. */
export interface OpenCollection extends AsyncDisposable {
  readonly log: Log
  readonly collection: AnyCollection
}

/** For reading: with the config's definition where it has one, else with none. Creates nothing. */
export async function openToRead(options: GlobalOptions, name: string): Promise<OpenCollection> {
  const config = await configOf(options)
  const settings = await settingsOf(options, config)
  const defined = config?.collections?.find((collection) => collection.name === name)
  return await open(settings, defined ?? (await storedDefinition(settings, name)), { create: false })
}

/** A log to look back in, and the collection where it is known in which partition its keys are. */
export interface LookBack extends AsyncDisposable {
  readonly log: Log
  readonly collection: AnyCollection | undefined
}

/** For reading changes, which needs a definition less often than reading state does. Creates nothing. */
export async function openToLookBack(options: GlobalOptions, name: string): Promise<LookBack> {
  const config = await configOf(options)
  const settings = await settingsOf(options, config)
  const isDefined = config?.collections?.some((collection) => collection.name === name)
  if (!isDefined) {
    const { decider, partitionKey } = storedAs(settings, name, await storedCollections(settings, false))
    if (decider || partitionKey) {
      const log = await look(settings)
      return { log, collection: undefined, [Symbol.asyncDispose]: () => log.close() }
    }
  }
  return await openToRead(options, name)
}

/** For writing: as the application itself would with a config; without one, values pass unchecked. */
export async function openToWrite(
  options: GlobalOptions,
  name: string,
  write: WriteOptions,
): Promise<OpenCollection> {
  const config = await configOf(options)
  const settings = await settingsOf(options, config)
  if (config) return await open(settings, definitionIn(config, name, write), config)
  const { create = false } = write
  return await open(settings, await storedDefinition(settings, name, write), { create })
}

function definitionIn(
  { collections = [] }: Config,
  name: string,
  { key, schemaVersion, create }: WriteOptions,
): AnyCollection {
  if (key !== undefined || schemaVersion !== undefined || create) {
    throw new CliError(
      'USAGE',
      '--key, --schema-version and --create are for collections without a definition, but the config file has them: leave it aside by --no-config.',
    )
  }
  const collection = collections.find((defined) => defined.name === name)
  if (collection) return collection
  const names = collections.map((defined) => defined.name)
  throw new CliError(
    'USAGE',
    `The config file defines no collection ${JSON.stringify(name)}; it has ${names.join(', ') || 'none'}.${didYouMean(name, names)} --no-config leaves it aside.`,
  )
}

/** A definition that fits what the namespace has stored of a collection. */
async function storedDefinition(
  settings: Settings,
  name: string,
  { key = 'id', schemaVersion = 1, create = false }: WriteOptions = {},
): Promise<AnyCollection> {
  const collections = await storedCollections(settings, create)
  const stored = create
    ? collections.find((collection) => collection.name === name)
    : storedAs(settings, name, collections)
  if (stored?.partitionKey) {
    throw new CliError(
      'DEFINITION_REQUIRED',
      `Collection ${JSON.stringify(name)} has a partition key, so only its definition tells where a key lives: give --config <file>.`,
    )
  }
  if (stored?.decider) {
    throw new CliError(
      'DEFINITION_REQUIRED',
      `Collection ${JSON.stringify(name)} is a decider, and only its definition tells what its events add up to: give --config <file>.`,
    )
  }
  return passthroughCollection(name, { key, schemaVersion, state: stored?.state ?? 'values' })
}

/** @throws HeadwaterError COLLECTION_UNKNOWN */
function storedAs(
  { namespace }: Settings,
  name: string,
  collections: readonly StoredCollection[],
): StoredCollection {
  const stored = collections.find((collection) => collection.name === name)
  if (stored) return stored
  const names = collections.map((collection) => collection.name)
  throw new HeadwaterError(
    'COLLECTION_UNKNOWN',
    `Namespace ${JSON.stringify(namespace)} has no collection ${JSON.stringify(name)}; it has ${names.join(', ') || 'none'}.${didYouMean(name, names)}`,
  )
}

async function storedCollections(settings: Settings, create: boolean): Promise<StoredCollection[]> {
  try {
    await using log = await look(settings)
    return await log.collections()
  } catch (error) {
    if (create && isHeadwaterError(error, 'NAMESPACE_UNKNOWN')) return []
    throw error
  }
}

async function open(
  { redis, namespace, archive }: Settings,
  collection: AnyCollection,
  { create, partitions, durability, replicas, idempotencyWindowMs }: Omit<ConnectOptions, 'namespace'>,
): Promise<OpenCollection> {
  const creation = { create, partitions, durability, replicas, idempotencyWindowMs }
  const log = await connect(redis, { namespace, collections: [collection], archive, deadlineMs, ...creation })
  return { log, collection, [Symbol.asyncDispose]: () => log.close() }
}

function look(
  { redis, namespace, archive }: Settings,
  more: Pick<ConnectOptions, 'idempotencyWindowMs'> = {},
): Promise<Log> {
  return connect(redis, { ...more, namespace, create: false, archive, deadlineMs })
}
