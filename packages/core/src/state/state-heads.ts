import { locate, type Router } from '../append/prepare.ts'
import { escapeKey, unescapeKey } from '../change/key.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { NamespaceKeys } from '../namespace/keys.ts'
import type { Connection, RedisClient } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { decodeHead, type StateHead } from './state-record.ts'

/** Both far below what one command may take or answer for others to wait. */
const headsAtOnce = { read: 1_000, listed: 500 }

/**
 * The bookkeeping of the state beside the log, without its values: for comparison. Where a bucket is gone, nothing can be said of
 * its keys, least of all that they never were: that is a HeadwaterError LOG_DAMAGED.
 */
export class StateHeads {
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

  /** Heads of these keys, in their order; undefined for a key that never was. */
  async read(collection: AnyCollection, keys: readonly string[]): Promise<(StateHead | undefined)[]> {
    const buckets = new Map<string, number[]>()
    for (const [index, key] of keys.entries()) {
      // A stranger's row may have no key; in a bucket the empty field stands for nobody.
      if (key === '') continue
      const { partition, bucket } = locate(this.#router, collection, key)
      const hash = this.#keys.partitions[partition]!.heads(collection.name, bucket)
      const indexes = buckets.get(hash)
      if (indexes) indexes.push(index)
      else buckets.set(hash, [index])
    }
    const heads = new Array<StateHead | undefined>(keys.length)
    await Promise.all(
      [...buckets].map(async ([hash, indexes]) => {
        for (let from = 0; from < indexes.length; from += headsAtOnce.read) {
          const some = indexes.slice(from, from + headsAtOnce.read)
          const fields = some.map((index) => escapeKey(keys[index]!))
          const [nobody, ...replies] = await this.#persist((client) =>
            client.hmgetBuffer(hash, '', ...fields),
          )
          if (!nobody) throw bucketGone(hash)
          for (const [at, head] of replies.entries()) {
            if (head) heads[some[at]!] = decodeHead(head)
          }
        }
      }),
    )
    return heads
  }

  /** All heads of one bucket, page by page. A key may come twice while the bucket grows. */
  async *list(
    collection: AnyCollection,
    partition: number,
    bucket: number,
  ): AsyncGenerator<Map<string, StateHead>> {
    const hash = this.#keys.partitions[partition]!.heads(collection.name, bucket)
    let cursor = '0'
    let exists = false
    do {
      const [next, entries] = await this.#persist((client) =>
        client.hscanBuffer(hash, cursor, 'COUNT', headsAtOnce.listed),
      )
      const page = new Map<string, StateHead>()
      for (let at = 0; at + 1 < entries.length; at += 2) {
        const field = entries[at]!.toString()
        // The empty field stands for nobody.
        if (field === '') exists = true
        else page.set(unescapeKey(field), decodeHead(entries[at + 1]!))
      }
      yield page
      cursor = next.toString()
    } while (cursor !== '0')
    if (!exists) throw bucketGone(hash)
  }

  /** How many keys a collection has, deleted ones included. */
  async countAll(collection: AnyCollection): Promise<number> {
    const counts = await Promise.all(
      this.#keys.partitions.map((_, partition) => this.count(collection, partition)),
    )
    return counts.reduce((sum, keys) => sum + keys, 0)
  }

  /** How many keys a partition has, deleted ones included. */
  async count(collection: AnyCollection, partition: number): Promise<number> {
    const of = this.#keys.partitions[partition]!
    const buckets = Array.from({ length: this.#router.buckets }, (_, bucket) =>
      of.heads(collection.name, bucket),
    )
    const lengths = await this.#persist((client) => Promise.all(buckets.map((hash) => client.hlen(hash))))
    // The empty field stands for nobody.
    return lengths.reduce((sum, length) => sum + Math.max(0, length - 1), 0)
  }

  async #persist<T>(command: (client: RedisClient) => Promise<T>): Promise<T> {
    const options = { doing: 'reading the state beside the log', deadlineMs: this.#deadlineMs }
    return await persist(this.#connection, options, command)
  }
}

function bucketGone(hash: string): HeadwaterError {
  return new HeadwaterError(
    'LOG_DAMAGED',
    `${hash} is gone, in which the log keeps the versions of some of its keys: was it deleted or evicted? Restore it before copies are compared with it.`,
  )
}
