import { locate, type Router } from '../append/prepare.ts'
import { escapeKey, unescapeKey } from '../change/key.ts'
import type { AnyCollection } from '../collection/collection.ts'
import type { NamespaceKeys } from '../namespace/keys.ts'
import type { Connection, RedisClient } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { script, type Script } from '../redis/script.ts'
import { source as listHeadsLua } from './list-heads.lua.ts'
import { source as readHeadsLua } from './read-heads.lua.ts'
import { decodeStateRecord, stateHeadBytes, type StateRecord } from './state-record.ts'

/** A record without its value. */
export type StateHead = Omit<StateRecord, 'payload'>

const listHeads: Script = script('list-heads', listHeadsLua)
const readHeads: Script = script('read-heads', readHeadsLua)

/** The bookkeeping of the state beside the log, without its values: for comparison. */
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
      const hash = this.#keys.partitions[partition]!.state(collection.name, bucket)
      const indexes = buckets.get(hash)
      if (indexes) indexes.push(index)
      else buckets.set(hash, [index])
    }
    const heads = new Array<StateHead | undefined>(keys.length)
    await Promise.all(
      [...buckets].map(async ([hash, indexes]) => {
        const args = [stateHeadBytes, ...indexes.map((index) => escapeKey(keys[index]!))]
        const replies = await this.#run(readHeads, hash, args)
        for (const [at, head] of replies.entries()) {
          if (head) heads[indexes[at]!] = decodeStateRecord(head)
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
    const hash = this.#keys.partitions[partition]!.state(collection.name, bucket)
    let cursor = '0'
    do {
      const [next, ...entries] = await this.#run(listHeads, hash, [cursor, 500, stateHeadBytes])
      const page = new Map<string, StateHead>()
      for (let at = 0; at + 1 < entries.length; at += 2) {
        page.set(unescapeKey(entries[at]!.toString()), decodeStateRecord(entries[at + 1]!))
      }
      yield page
      cursor = next!.toString()
    } while (cursor !== '0')
  }

  async #run(of: Script, hash: string, args: readonly (string | number)[]): Promise<Buffer[]> {
    const options = { doing: 'reading the state beside the log', deadlineMs: this.#deadlineMs }
    return await persist(this.#connection, options, async (client: RedisClient) => {
      return (await of.runBuffer(client, { keys: [hash], args })) as Buffer[]
    })
  }
}
