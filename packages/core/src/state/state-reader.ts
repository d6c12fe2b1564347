import { formatPosition, type Position } from '../change/position.ts'
import { formatVersion, type Version } from '../change/version.ts'
import { checkKey, escapeKey } from '../change/key.ts'
import type { AnyCollection, CollectionOf } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { locate, type Router } from '../append/prepare.ts'
import type { NamespaceKeys } from '../namespace/keys.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { script, type Script } from '../redis/script.ts'
import { source as readRecordsLua } from './read-records.lua.ts'
import { decodeRecord, stateValue, type StateRecord } from './state-record.ts'

const readRecords: Script = script('read-records', readRecordsLua)

/** The latest state of a key, as the log keeps it beside itself. */
export interface Entity<T> {
  readonly key: string
  readonly value: T
  /** Pass it as `expected` to change exactly what was read. */
  readonly version: Version
  readonly position: Position
}

/** Reads the state that is kept beside the log. */
export class StateReader {
  readonly #connection: Connection
  readonly #keys: NamespaceKeys
  readonly #router: Router
  readonly #deadlineMs: number

  constructor(connection: Connection, keys: NamespaceKeys, router: Router, deadlineMs: number) {
    this.#connection = connection
    this.#keys = keys
    this.#router = router
    this.#deadlineMs = deadlineMs
  }

  /** The live entities of these keys, in their order; undefined for a key that is absent or deleted. */
  async entities<T>(
    collection: CollectionOf<T>,
    keys: readonly string[],
  ): Promise<(Entity<T> | undefined)[]> {
    return await entitiesOf(this.#router, this, collection, keys)
  }

  /**
   * How many live entities there are, every bucket at a moment of its own.
   *
   * @throws HeadwaterError STATE_REQUIRED
   */
  async count(collection: AnyCollection): Promise<number> {
    checkValuesKept(collection)
    const options = { doing: `counting the keys of ${collection.name}`, deadlineMs: this.#deadlineMs }
    const lengths = await Promise.all(
      this.#keys.partitions.map(({ values }) =>
        persist(this.#connection, options, (client) =>
          Promise.all(
            Array.from({ length: this.#router.buckets }, (_, bucket) =>
              client.hlen(values(collection.name, bucket)),
            ),
          ),
        ),
      ),
    )
    // The empty field stands for nobody.
    return lengths.flat().reduce((sum, length) => sum + Math.max(0, length - 1), 0)
  }

  /** What is kept of these keys, deleted ones included. */
  async records(collection: AnyCollection, keys: readonly string[]): Promise<(StateRecord | undefined)[]> {
    const buckets = new Map<string, { keys: string[]; args: string[]; indexes: number[] }>()
    for (const [index, key] of keys.entries()) {
      checkKey(collection.name, key)
      const { partition, bucket } = locate(this.#router, collection, key)
      const { heads, values } = this.#keys.partitions[partition]!
      const hash = heads(collection.name, bucket)
      let of = buckets.get(hash)
      if (!of) {
        const hashes = collection.state === 'values' ? [hash, values(collection.name, bucket)] : [hash]
        buckets.set(hash, (of = { keys: hashes, args: [], indexes: [] }))
      }
      of.args.push(escapeKey(key))
      of.indexes.push(index)
    }
    const records = new Array<StateRecord | undefined>(keys.length)
    const options = { doing: `reading the state of ${collection.name}`, deadlineMs: this.#deadlineMs }
    await Promise.all(
      [...buckets.values()].map(async ({ indexes, ...input }) => {
        const replies = (await persist(this.#connection, options, (client) =>
          readRecords.runBuffer(client, input),
        )) as (Buffer | null)[]
        for (const [at, index] of indexes.entries()) {
          const head = replies[2 * at]
          if (head) records[index] = decodeRecord(collection, keys[index]!, head, replies[2 * at + 1])
        }
      }),
    )
    return records
  }
}

/** Reads live entities through whatever keeps records. */
export async function entitiesOf<T>(
  router: Router,
  state: Pick<StateReader, 'records'>,
  collection: CollectionOf<T>,
  keys: readonly string[],
): Promise<(Entity<T> | undefined)[]> {
  checkValuesKept(collection)
  const records = await state.records(collection, keys)
  return records.map((record, index) => {
    if (!record || record.deleted) return undefined
    const { partition } = locate(router, collection, keys[index]!)
    return {
      key: keys[index]!,
      value: stateValue(collection, keys[index]!, record) as T,
      version: formatVersion(record.version, record.stamp.epoch),
      position: formatPosition(partition, record.stamp),
    }
  })
}

/** @throws HeadwaterError STATE_REQUIRED */
export function checkValuesKept({ name, state }: AnyCollection): void {
  if (state === 'values') return
  throw new HeadwaterError(
    'STATE_REQUIRED',
    `${name} is defined with state "${state}", so the log keeps no values to read.`,
  )
}
