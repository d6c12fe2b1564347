import { randomBytes } from 'node:crypto'
import { producerAt } from '../append/producer.ts'
import type { ArchiveStore } from '../archive/archive-store.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { createHasher } from '../change/content-hash.ts'
import { checkInteger } from '../errors/check-integer.ts'
import { checkNames } from '../errors/check-names.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import { Connection } from '../redis/connection.ts'
import { isCluster } from '../redis/node-of-key.ts'
import { attemptMsDefault, persist } from '../redis/persist.ts'
import { clientFactory, type Credentials, type RedisTarget } from '../redis/target.ts'
import type { Durability } from './durability.ts'
import { durabilities } from './durability.ts'
import { Log } from './log.ts'
import { openNamespace, partitionsMax } from './metadata.ts'

export interface ConnectOptions {
  /** Separates logs that share a server: 1 to 64 of letters, digits, "_", "." and "-". */
  readonly namespace: string
  /** What this program appends, reads or applies. The namespace may hold more. */
  readonly collections?: readonly AnyCollection[]
  /** Whether the namespace and collections are created where they do not exist. Default true; false only looks. */
  readonly create?: boolean
  /** Fixed at creation, checked afterwards. Default 8: more of them spread load, fewer make larger batches. */
  readonly partitions?: number
  /** What an acknowledged append survives, unless the append says otherwise. Fixed at creation. Default `memory`. */
  readonly durability?: Durability
  /** How many replicas the deployment has, for `replicated` and `all-replicas`. Fixed at creation. Default 0. */
  readonly replicas?: number
  /**
   * Asked for user and password before each connection, also one that is made again: so passwords may change while the
   * program runs. Default: those of the target.
   */
  readonly credentials?: () => Credentials
  /** How long a call goes on trying while Redis is away, in ms. Default 10,000. */
  readonly deadlineMs?: number
  /** After which silence a connection counts as dead, in ms. Default 3,000. */
  readonly attemptMs?: number
  /** How long an idempotency key is remembered, at least, in ms. Default 24 hours. */
  readonly idempotencyWindowMs?: number
  /** Where `read`, `history`, `getAt` and `positionAt` find what was archived and trimmed. Default: nowhere. */
  readonly archive?: ArchiveStore | undefined
}

const hourMs = 3_600_000

const optionNames: Record<keyof ConnectOptions, true> = {
  namespace: true,
  collections: true,
  create: true,
  partitions: true,
  durability: true,
  replicas: true,
  credentials: true,
  deadlineMs: true,
  attemptMs: true,
  idempotencyWindowMs: true,
  archive: true,
}

/**
 * Opens a log, and creates it where it does not exist.
 *
 * @throws HeadwaterError OPTION_INVALID, NAMESPACE_MISMATCH, NAMESPACE_UNKNOWN and COLLECTION_UNKNOWN (where nothing may
 * be created), REDIS_UNAVAILABLE, REDIS_REFUSED, LOG_DAMAGED
 */
export async function connect(target: RedisTarget, options: ConnectOptions): Promise<Log> {
  checkOptions(options)
  const { namespace, collections = [], deadlineMs = 10_000, attemptMs = attemptMsDefault } = options
  const createClient = clientFactory(target, options.credentials)
  const openConnection = (purpose: string): Connection =>
    new Connection(() => createClient(`headwater:${namespace}:${purpose}`))
  const connection = openConnection('commands')
  try {
    await checkDatabase(connection, deadlineMs)
    const { metadata, keys } = await openNamespace(connection, namespace, options, collections, deadlineMs)
    return new Log({
      namespace,
      metadata,
      keys,
      collections: new Map(collections.map((collection) => [collection.name, collection])),
      hasher: await createHasher(metadata.seed),
      connection,
      openConnection,
      producer: producerAt(await timeOf(connection, deadlineMs), randomBytes(9).toString('base64url')),
      deadlineMs,
      attemptMs,
      resultsWindowMs: options.idempotencyWindowMs ?? 24 * hourMs,
      archive: options.archive,
    })
  } catch (error) {
    connection.close()
    throw error
  }
}

/** A client is told when its database is none, and goes on in database 0: two logs of one name would be one. */
async function checkDatabase(connection: Connection, deadlineMs: number): Promise<void> {
  const options = { doing: 'the choice of a database', deadlineMs }
  await persist(connection, options, async (client) => {
    const { db = 0 } = isCluster(client) ? {} : client.options
    if (db !== 0) await client.select(db)
  })
}

async function timeOf(connection: Connection, deadlineMs: number): Promise<number> {
  const options = { doing: 'reading the time', deadlineMs }
  const [seconds, microseconds] = await persist(connection, options, (client) => client.time())
  return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000)
}

function checkOptions(options: ConnectOptions): void {
  const { namespace, collections = [], durability, credentials } = options ?? {}
  if (typeof namespace !== 'string' || !/^[a-zA-Z0-9_.-]{1,64}$/.test(namespace)) {
    invalid(`namespace ${quoted(namespace)} must be 1 to 64 of letters, digits, "_", "." and "-".`)
  }
  checkNames('connect', options, optionNames)
  const integer = (
    name: 'partitions' | 'replicas' | 'deadlineMs' | 'attemptMs' | 'idempotencyWindowMs',
    min: number,
    max: number,
  ): void => {
    if (options[name] !== undefined) checkInteger(name, options[name], min, max)
  }
  integer('partitions', 1, partitionsMax)
  integer('replicas', 0, 100)
  integer('deadlineMs', 1, hourMs)
  integer('attemptMs', 10, hourMs)
  integer('idempotencyWindowMs', 1_000, 90 * 24 * hourMs)
  if (durability !== undefined && !durabilities.includes(durability)) {
    invalid(`durability ${quoted(durability)} must be one of ${durabilities.join(', ')}.`)
  }
  if (credentials !== undefined && typeof credentials !== 'function')
    invalid('credentials must be a function that gives user and password.')
  if (!Array.isArray(collections)) invalid('collections must be a list.')
  const names = new Set<string>()
  for (const collection of collections as readonly (AnyCollection | undefined)[]) {
    if (typeof collection?.keyOf !== 'function' || typeof collection.name !== 'string')
      invalid('collections must hold what defineCollection gives.')
    const { name } = collection
    if (names.has(name)) invalid(`collections holds ${JSON.stringify(name)} twice.`)
    names.add(name)
  }
}

function invalid(what: string): never {
  throw new HeadwaterError('OPTION_INVALID', what)
}
