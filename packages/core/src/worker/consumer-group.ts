import type { StreamEntry } from '../change/batch.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import { missingHeader } from '../namespace/metadata.ts'
import type { Connection, RedisClient } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'

export interface ConsumerGroupOptions {
  readonly namespace: string
  readonly partition: number
  readonly keys: PartitionKeys
  readonly group: string
  /** For commands that answer at once. */
  readonly connection: Connection
  /** For the blocking read, which would hold up everything behind it. Whoever closes it ends the read. */
  readonly blocking: Connection
  readonly deadlineMs: number
  readonly signal?: AbortSignal | undefined
}

/**
 * The one consumer name of every group. Whoever holds the lease reads under it, so what a predecessor was given and did
 * not acknowledge is the successor's without claiming.
 */
const consumerName = 'headwater'

const pendingAtOnce = 1_000

/** The group was deleted, or its stream. */
export class GroupMissing extends Error {}

/** A group's Redis consumer group in one partition: what Redis delivers, and what Redis thinks it has delivered. */
export class ConsumerGroup {
  readonly #options: ConsumerGroupOptions

  constructor(options: ConsumerGroupOptions) {
    this.#options = options
  }

  /**
   * Waits at most `blockMs` for entries that nobody was given before; undefined when none came.
   *
   * @throws GroupMissing; what the connection rejects with
   */
  async read(count: number, blockMs: number): Promise<StreamEntry[] | undefined> {
    const { blocking, keys, group } = this.#options
    try {
      // The client may wait for the answer for ever; two seconds after it is due, the connection counts as dead.
      const reply = await blocking.attempt(
        (client) =>
          client.xreadgroup(
            'GROUP',
            group,
            consumerName,
            'COUNT',
            count,
            'BLOCK',
            blockMs,
            'STREAMS',
            keys.log,
            '>',
          ),
        blockMs + 2_000,
      )
      return (reply as [string, StreamEntry[]][] | null)?.[0]?.[1]
    } catch (error) {
      throw isNoGroup(error) ? new GroupMissing() : error
    }
  }

  /** The last entry that was given to anybody; empty where there is no such group. */
  async lastDelivered(): Promise<string> {
    const { keys, group, namespace, partition } = this.#options
    let groups: unknown[][]
    try {
      groups = (await this.#persist(`reading where the group ${group} stands`, (client) =>
        client.xinfo('GROUPS', keys.log),
      )) as unknown[][]
    } catch (error) {
      if (error instanceof Error && /no such key/.test(error.message))
        throw missingHeader(namespace, partition)
      throw error
    }
    for (const fields of groups) {
      const of = new Map<unknown, unknown>()
      for (let at = 0; at + 1 < fields.length; at += 2) of.set(fields[at], fields[at + 1])
      if (of.get('name') === group) return String(of.get('last-delivered-id'))
    }
    return ''
  }

  /** Entries that were given to somebody and are not acknowledged; the limits as `XPENDING` takes them. */
  async pending(first: string, last: string): Promise<string[]> {
    const { keys, group } = this.#options
    const ids: string[] = []
    for (let from = first; ; from = `(${ids.at(-1)!}`) {
      const pending = await this.#persist(`reading what is left over of group ${group}`, (client) =>
        client.xpending(keys.log, group, from, last, pendingAtOnce),
      )
      for (const [id] of pending as [string][]) ids.push(id)
      if (pending.length < pendingAtOnce) return ids
    }
  }

  /** Makes a group that is gone again, as one that was given everything up to this entry. */
  async restore(upTo: string): Promise<void> {
    const { keys, group } = this.#options
    await this.#persist(`making the group ${group} again`, async (client) => {
      try {
        await client.xgroup('CREATE', keys.log, group, upTo)
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('BUSYGROUP'))) throw error
      }
    })
  }

  /** From now on it counts as one that was given nothing above this entry. */
  async setBack(upTo: string): Promise<void> {
    const { keys, group } = this.#options
    await this.#persist(`setting the group ${group} back`, (client) =>
      client.xgroup('SETID', keys.log, group, upTo),
    )
  }

  #persist<T>(doing: string, command: (client: RedisClient) => Promise<T>): Promise<T> {
    const { connection, deadlineMs, signal } = this.#options
    return persist(connection, { doing, deadlineMs, ...(signal && { signal }) }, command)
  }
}

function isNoGroup(error: unknown): boolean {
  return error instanceof Error && /NOGROUP|the stream key no longer exists/.test(error.message)
}
