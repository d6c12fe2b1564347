import type { Collection, Log } from '@headwater/core'
import { appendScript, encodeAppend } from '../../packages/core/src/append/append-script.ts'
import type { PreparedRequest } from '../../packages/core/src/append/prepared.ts'
import { preparePut } from '../../packages/core/src/append/prepare.ts'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import type { RedisClient } from '../../packages/core/src/redis/connection.ts'
import type { Product } from './product.ts'

const dayMs = 86_400_000

/**
 * Encodes appends as the product does, batch by batch, but does not send them: so the script can be measured without
 * the client in front of it. Each change is a request of its own, with a verdict of its own.
 */
export class AppendCommands {
  readonly #log: Log
  readonly #collection: Collection<Product>
  readonly #batch: number
  /** By partition. */
  readonly #numbers: number[] = []

  constructor(log: Log, collection: Collection<Product>, batch = 100) {
    this.#log = log
    this.#collection = collection
    this.#batch = batch
  }

  /**
   * A command for each full batch of a partition, in the order in which they fill, then the rest. The server must have
   * seen the script: one real append does it.
   */
  *encode(changes: Iterable<Product>): Generator<string> {
    const { hasher, metadata } = logParts(this.#log)
    const router = { hasher, partitions: metadata.partitions, buckets: metadata.buckets }
    const gathering = new Map<number, PreparedRequest[]>()
    for (const value of changes) {
      const change = preparePut(router, this.#collection, value, 'any')
      const requests = gathering.get(change.partition) ?? []
      requests.push({
        changes: [change],
        idempotencyField: undefined,
        metadata: undefined,
        size: change.payload.length,
        deadline: Infinity,
        resolve: () => {},
        reject: () => {},
      })
      gathering.set(change.partition, requests)
      if (requests.length < this.#batch) continue
      gathering.delete(change.partition)
      yield this.#command(change.partition, requests)
    }
    for (const [partition, requests] of gathering) yield this.#command(partition, requests)
  }

  #command(partition: number, requests: readonly PreparedRequest[]): string {
    const number = (this.#numbers[partition] ?? 0) + 1
    this.#numbers[partition] = number
    const { keys } = logParts(this.#log)
    const input = encodeAppend(keys.partitions[partition]!, { producer: 'bench', number, requests }, dayMs)
    let command = ''
    // The script sends itself through a client; this one only writes down what it is told to send.
    const writer = {
      sendCommand(sent: { toWritable(): Buffer }) {
        command = sent.toWritable().toString()
      },
    }
    void appendScript.run(writer as unknown as RedisClient, input)
    return command
  }
}
