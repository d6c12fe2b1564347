import {
  AckPolicy,
  jetstream,
  jetstreamManager,
  StorageType,
  type ConsumerMessages,
} from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { Arrivals } from '../src/arrivals.ts'
import type { Product } from '../src/product.ts'
import type { System } from '../src/system.ts'

const messagesPerAck = 100
const [stream, consumerName, subject] = ['PRODUCTS', 'consumer', 'products']

export const system: System = {
  name: 'jetstream',
  settings:
    'NATS JetStream through its Node client: a stream in memory, 1,000 `publish` under way; a durable consumer that acknowledges 100 messages at once, 2,000 messages asked for ahead',
  needs: ['nats'],
  packages: ['@nats-io/jetstream', '@nats-io/transport-node'],
  messages: 30_000,
  sending: { together: 500, inFlight: 2 },
  keepsBacklog: true,
  async reset({ nats }) {
    const connection = await connect(nats)
    const manager = await jetstreamManager(connection)
    await manager.streams.delete(stream).catch(() => {
      // The first time there is none.
    })
    await manager.streams.add({ name: stream, subjects: [subject], storage: StorageType.Memory })
    await manager.consumers.add(stream, {
      durable_name: consumerName,
      ack_policy: AckPolicy.All,
      max_ack_pending: 20_000,
    })
    await connection.close()
  },
  async openProducer({ nats }) {
    const connection = await connect(nats)
    const client = jetstream(connection)
    return {
      send: (products: readonly Product[]) =>
        Promise.all(products.map((product) => client.publish(subject, JSON.stringify(product)))),
      close: () => connection.close(),
    }
  },
  async openConsumer({ nats }, onSentAt) {
    const connection = await connect(nats)
    const consumer = await jetstream(connection).consumers.get(stream, consumerName)
    const consumed = new Arrivals()
    let received = 0
    let messages: ConsumerMessages | undefined

    async function readAll(arriving: ConsumerMessages): Promise<void> {
      for await (const message of arriving) {
        onSentAt?.(message.json<Product>().sentAt)
        // An acknowledgement is for everything before it too.
        if (++received % messagesPerAck === 0 || message.info.pending === 0) message.ack()
        consumed.add(1)
      }
    }

    return {
      async start() {
        messages = await consumer.consume({ max_messages: 2_000 })
        void readAll(messages)
      },
      async stop() {
        await messages?.close()
      },
      async caughtUp(products) {
        await consumed.reach(products)
        await connection.flush()
      },
      async close() {
        await messages?.close()
        await connection.close()
      },
    }
  },
}
