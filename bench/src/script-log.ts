import { connect, type Collection, type Log } from '@headwater/core'
import { AppendCommands } from './append-commands.ts'
import { makeProduct, type Product } from './product.ts'
import { joinCommands, RawClient, type RedisAddress, type Write } from './raw-client.ts'
import { namespace } from './worker-consumer.ts'

const batch = 100
const batchesPerWrite = 5

/** A log that is written by the append script itself, without a client in front of it: for large numbers and for timing. */
export class ScriptLog implements AsyncDisposable {
  readonly log: Log
  readonly #commands: AppendCommands
  readonly #client: RawClient

  private constructor(log: Log, collection: Collection<Product>, client: RawClient) {
    this.log = log
    this.#commands = new AppendCommands(log, collection, batch)
    this.#client = client
  }

  /** On an empty server. */
  static async create(
    redis: RedisAddress,
    collection: Collection<Product>,
    partitions?: number,
  ): Promise<ScriptLog> {
    const log = await connect(
      { ...redis },
      { namespace, collections: [collection], ...(partitions !== undefined && { partitions }) },
    )
    // The server learns the script.
    await log.append(collection.put(makeProduct(0, 100)))
    return new ScriptLog(log, collection, await RawClient.connect(redis))
  }

  /** For timing: encoded beforehand. */
  encode(products: Iterable<Product>): readonly Write[] {
    return [...joinCommands(this.#commands.encode(products), batchesPerWrite)]
  }

  send(writes: Iterable<Write>): Promise<void> {
    return this.#client.sendAll(writes)
  }

  /** For large numbers: encoded on the way. */
  fill(products: Iterable<Product>): Promise<void> {
    return this.send(joinCommands(this.#commands.encode(products), batchesPerWrite))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close()
    await this.log.close()
  }
}
