import { randomUUID } from 'node:crypto'
import {
  connect,
  defineCollection,
  startWorker,
  type AnySink,
  type Collection,
  type Log,
  type StateKept,
  type Worker,
} from '@headwater/core'
import type { RedisServer } from '@headwater/local-servers'
import { z } from 'zod'

export interface Item {
  id: string
  count: number
  note?: string | undefined
}

/** A collection of its own for each call, so that no two tests share a definition. */
export function itemsCollection(name = 'items', state: StateKept = 'values'): Collection<Item> {
  return defineCollection(name, {
    schema: z.object({ id: z.string(), count: z.int(), note: z.string().optional() }),
    key: (item) => item.id,
    state,
  })
}

export async function openLog(server: RedisServer, collection: Collection<Item>): Promise<Log> {
  return await connect(server.options, {
    namespace: `${server.namespacePrefix}${randomUUID()}`,
    collections: [collection],
    partitions: 4,
  })
}

/** A worker that runs one sink under the group `copy`. */
export async function follow(log: Log, sink: AnySink): Promise<Worker> {
  return await startWorker(log, {
    groups: { copy: sink },
    leaseMs: 4_000,
    retry: { firstMs: 10, maxMs: 100 },
  })
}

/** Waits until the group has everything that the log has now. */
export async function caughtUp(log: Log): Promise<void> {
  const ends = await Promise.all(Array.from({ length: log.partitions }, (_, partition) => log.end(partition)))
  await Promise.all(
    ends
      .filter((end) => !end.endsWith('-0'))
      .map((end) => log.whenApplied(end, { group: 'copy', timeoutMs: 20_000 })),
  )
}

/** Writes to a handful of keys as fast as it can, until it is stopped. */
export class Traffic {
  #stopped = false
  readonly #running: Promise<void>
  #written = 0

  constructor(log: Log, items: Collection<Item>) {
    this.#running = this.#run(log, items)
  }

  /** Changes appended so far. */
  get written(): number {
    return this.#written
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #run(log: Log, items: Collection<Item>): Promise<void> {
    for (let round = 1; !this.#stopped; round++) {
      const changes = Array.from({ length: 20 }, (_, at) => {
        const id = `live-${at}`
        return (at + round) % 7 === 0 ? items.delete(id) : items.put({ id, count: round })
      })
      await Promise.all(changes.map((change) => log.append(change)))
      this.#written += changes.length
    }
  }
}
