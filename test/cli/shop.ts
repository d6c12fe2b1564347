import { connect, defineCollection, type Change, type Log } from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { z } from 'zod'

const productSchema = z.object({ sku: z.string(), name: z.string(), priceCents: z.int() })

/** What the tests of the commands keep in their logs. */
export const products = defineCollection('products', {
  schema: productSchema,
  key: ({ sku }) => sku,
})

/** Only its definition tells where a key lives. */
export const visits = defineCollection('visits', {
  schema: z.object({ id: z.string() }),
  key: ({ id }) => id,
  partitionKey: (id) => id.slice(0, 1),
})

export const product = (sku: string, priceCents = 900): z.infer<typeof productSchema> => ({
  sku,
  name: `Product ${sku}`,
  priceCents,
})

/** A server, and a log on it for each test that asks. */
export class Shop implements AsyncDisposable {
  readonly server: RedisServer
  #logs = 0

  constructor(server: RedisServer) {
    this.server = server
  }

  static async open(): Promise<Shop> {
    return new Shop(await startRedis())
  }

  /** A namespace that nobody has used. */
  namespace(): string {
    return `${this.server.namespacePrefix}shop-${process.pid}-${++this.#logs}`
  }

  /** The arguments that name a log. */
  at(namespace: string): string[] {
    return ['--redis', this.server.url, '--namespace', namespace]
  }

  connect(namespace: string): Promise<Log> {
    return connect(this.server.url, { namespace, collections: [products, visits], partitions: 4 })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop()
  }
}

/** Every change of a log, partition by partition. */
export async function changesOf(log: Log): Promise<Change[]> {
  const changes: Change[] = []
  for (let partition = 0; partition < log.partitions; partition++) {
    for await (const change of log.read(partition)) changes.push(change)
  }
  return changes
}
