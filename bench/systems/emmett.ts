import type { Event } from '@event-driven-io/emmett'
import {
  getPostgreSQLEventStore,
  type PostgreSQLEventStoreConsumer,
} from '@event-driven-io/emmett-postgresql'
import { Arrivals } from '../src/arrivals.ts'
import type { Product } from '../src/product.ts'
import type { System } from '../src/system.ts'

type ProductChanged = Event<'ProductChanged', Product>

export const system: System = {
  name: 'emmett',
  settings:
    'Emmett on Postgres: `appendToStream` of 500 events to a new stream each time, one call after the other, since of calls side by side its consumer did not see every event; a consumer with one reactor that pulls 1,000 events and does not wait between pulls',
  needs: ['postgres'],
  packages: ['@event-driven-io/emmett-postgresql', 'pg'],
  messages: 10_000,
  sending: { together: 500, inFlight: 1 },
  keepsBacklog: true,
  async reset({ postgres }) {
    const store = getPostgreSQLEventStore(postgres)
    await store.schema.migrate()
    await store.schema.dangerous.truncate({ resetSequences: true })
    await store.close()
  },
  async openProducer({ postgres }) {
    const store = getPostgreSQLEventStore(postgres)
    let streams = 0
    return {
      send: (products: readonly Product[]) =>
        store.appendToStream<ProductChanged>(
          `products-${++streams}`,
          products.map((data) => ({ type: 'ProductChanged', data })),
        ),
      close: () => store.close(),
    }
  },
  async openConsumer({ postgres }, onSentAt) {
    const store = getPostgreSQLEventStore(postgres)
    const handled = new Arrivals()
    let consumer: PostgreSQLEventStoreConsumer<ProductChanged> | undefined
    return {
      async start() {
        consumer = store.consumer<ProductChanged>({ pulling: { batchSize: 1_000, pullingFrequencyInMs: 0 } })
        consumer.reactor<ProductChanged>({
          processorId: 'reactor',
          eachMessage({ data }) {
            onSentAt?.(data.sentAt)
            handled.add(1)
          },
        })
        void consumer.start()
      },
      async stop() {
        await consumer?.stop()
      },
      caughtUp: (products) => handled.reach(products),
      async close() {
        await consumer?.close()
        await store.close()
      },
    }
  },
}
