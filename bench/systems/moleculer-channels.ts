import channels from '@moleculer/channels'
import { ServiceBroker, type Middleware } from 'moleculer'
import { Arrivals } from '../src/arrivals.ts'
import { emptyRedis } from '../src/empty-redis.ts'
import type { Product } from '../src/product.ts'
import type { RedisAddress } from '../src/raw-client.ts'
import type { System } from '../src/system.ts'

const channel = 'products.changed'

export const system: System = {
  name: 'moleculer-channels',
  settings:
    '@moleculer/channels on Redis Streams: 1,000 `sendToChannel` under way; `maxInFlight` 100, blocking reads',
  needs: ['redis'],
  packages: ['@moleculer/channels', 'moleculer', 'ioredis'],
  messages: 10_000,
  sending: { together: 500, inFlight: 2 },
  keepsBacklog: true,
  async reset({ redis }) {
    await emptyRedis(redis)
  },
  async openProducer({ redis }) {
    const broker = makeBroker(redis, 'producer')
    await broker.start()
    return {
      send: (products: readonly Product[]) =>
        Promise.all(products.map((product) => broker.sendToChannel(channel, product))),
      close: () => broker.stop(),
    }
  },
  async openConsumer({ redis }, onSentAt) {
    const handled = new Arrivals()
    let broker: ChannelBroker | undefined
    return {
      async start() {
        broker = makeBroker(redis, 'consumer')
        broker.createService({
          name: 'consumer',
          channels: {
            [channel]: {
              group: 'consumer',
              maxInFlight: 100,
              redis: { startID: '0' },
              async handler({ sentAt }: Product) {
                onSentAt?.(sentAt)
                handled.add(1)
              },
            },
          },
        } as object as Parameters<ChannelBroker['createService']>[0])
        await broker.start()
      },
      async stop() {
        await broker?.stop()
      },
      caughtUp: (products) => handled.reach(products),
      async close() {
        await broker?.stop()
      },
    }
  },
}

/** What the middleware adds to a broker, which its types do not say. */
interface ChannelBroker extends ServiceBroker {
  sendToChannel(channel: string, payload: object): Promise<void>
}

function makeBroker(redis: RedisAddress, nodeID: string): ChannelBroker {
  const options = {
    adapter: {
      type: 'Redis',
      options: { redis: { ...redis, consumerOptions: { readTimeoutInterval: 1_000 } } },
    },
  } as object as Parameters<typeof channels.Middleware>[0]
  const middleware = channels.Middleware(options) as object as Middleware
  return new ServiceBroker({ logger: false, nodeID, middlewares: [middleware] }) as ChannelBroker
}
