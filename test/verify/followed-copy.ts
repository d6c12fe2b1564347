import type { Collection, Log, Worker } from '@headwater/core'
import type { Copy } from './copies.ts'
import { redis } from './copy-servers.ts'
import { caughtUp, follow, itemsCollection, openLog, type Item } from './shop.ts'

/** A log of items, a copy of it, and the worker that keeps the copy; closed together. */
export class FollowedCopy implements AsyncDisposable {
  readonly log: Log
  readonly items: Collection<Item>
  readonly copy: Copy
  readonly worker: Worker

  private constructor(log: Log, items: Collection<Item>, copy: Copy, worker: Worker) {
    this.log = log
    this.items = items
    this.copy = copy
    this.worker = worker
  }

  static async open(copyOf: (items: Collection<Item>) => Copy): Promise<FollowedCopy> {
    const items = itemsCollection()
    const log = await openLog(redis, items)
    const copy = copyOf(items)
    return new FollowedCopy(log, items, copy, await follow(log, copy.sink))
  }

  /** Appends so many items, `item-0` and on, and waits until the copy has them. */
  async fill(count: number, item: (at: number) => Omit<Item, 'id'> = () => ({ count: 1 })): Promise<void> {
    await Promise.all(
      Array.from({ length: count }, (_, at) =>
        this.log.append(this.items.put({ id: `item-${at}`, ...item(at) })),
      ),
    )
    await caughtUp(this.log)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker.stop()
    await this.copy.close()
    await this.log.close()
  }
}
