import { Redis } from 'ioredis'
import { Arrivals } from '../src/arrivals.ts'
import type { Product } from '../src/product.ts'
import type { System } from '../src/system.ts'

const channel = 'products'

export const system: System = {
  name: 'pub-sub',
  settings:
    'Redis publish/subscribe: ioredis pipelines of 500 `PUBLISH`, 2 of them under way; RESP2; one subscriber, which parses no JSON and cannot fall behind without losing something',
  needs: ['redis'],
  packages: ['ioredis'],
  messages: 200_000,
  sending: { together: 500, inFlight: 2 },
  keepsBacklog: false,
  async reset() {
    // It keeps nothing.
  },
  async openProducer({ redis }) {
    const client = new Redis({ ...redis, protocol: 2 })
    return {
      async send(products: readonly Product[]) {
        const pipeline = client.pipeline()
        for (const product of products) pipeline.publish(channel, JSON.stringify(product))
        await pipeline.exec()
      },
      async close() {
        client.disconnect()
      },
    }
  },
  async openConsumer({ redis }, onSentAt) {
    const client = new Redis({ ...redis, protocol: 2 })
    const received = new Arrivals()
    client.on('message', (_channel, message: string) => {
      onSentAt?.((JSON.parse(message) as Product).sentAt)
      received.add(1)
    })
    return {
      async start() {
        await client.subscribe(channel)
      },
      async stop() {
        await client.unsubscribe(channel)
      },
      caughtUp: (products) => received.reach(products),
      async close() {
        client.disconnect()
      },
    }
  },
}
