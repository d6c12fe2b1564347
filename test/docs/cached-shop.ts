import { fileURLToPath } from 'node:url'
import { startWorker, type Log, type Worker } from '@headwater/core'
import { Redis } from 'ioredis'
import { headwater, type Ended } from '../cli/headwater.ts'
import { product, products, Shop } from '../cli/shop.ts'
import { versionedCache } from './versioned-cache.ts'

const config = fileURLToPath(new URL('./cached-shop.config.ts', import.meta.url))

/** A shop with a worker that keeps a cache of its products on another server: what commands in docs are called on. */
export class CachedShop implements AsyncDisposable {
  readonly log: Log
  /** Of the cache. */
  readonly client: Redis
  readonly #shop: Shop
  readonly #replica: Shop
  readonly #worker: Worker

  private constructor(shop: Shop, replica: Shop, log: Log, client: Redis, worker: Worker) {
    this.#shop = shop
    this.#replica = replica
    this.log = log
    this.client = client
    this.#worker = worker
  }

  static async open(): Promise<CachedShop> {
    const [shop, replica] = await Promise.all([Shop.open(), Shop.open()])
    const client = new Redis(replica.server.options)
    const log = await shop.connect(shop.namespace())
    const worker = await startWorker(log, { groups: { cache: versionedCache(client) } })
    return new CachedShop(shop, replica, log, client, worker)
  }

  /** Puts products, and waits until each is in the cache. */
  async put(...skus: readonly string[]): Promise<void> {
    for (const sku of skus) {
      const { position } = await this.log.append(products.put(product(sku)))
      await this.log.whenApplied(position, { group: 'cache' })
    }
  }

  call(...args: readonly string[]): Promise<Ended> {
    return headwater([...args, '--config', config, ...this.#shop.at(this.log.namespace)], {
      env: { REPLICA_URL: this.#replica.server.url },
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.stop()
    await this.log.close()
    this.client.disconnect()
    await Promise.all([this.#shop[Symbol.asyncDispose](), this.#replica[Symbol.asyncDispose]()])
  }
}
