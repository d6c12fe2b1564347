import { connect } from '@headwater/core'
import { Arrivals } from '../src/arrivals.ts'
import { emptyRedis } from '../src/empty-redis.ts'
import { products } from '../src/product.ts'
import type { Consumer, System } from '../src/system.ts'
import { namespace } from '../src/worker-consumer.ts'
import { openAppender } from './headwater.ts'

export const system: System = {
  name: 'headwater-feed',
  settings: 'defaults; `append()` change by change; `log.feed(products)` with a `for await` loop',
  needs: ['redis'],
  packages: [],
  messages: 200_000,
  sending: { together: 1, inFlight: 1_000 },
  keepsBacklog: false,
  async reset({ redis }) {
    await emptyRedis(redis)
  },
  openProducer: ({ redis }) => openAppender(redis),
  async openConsumer({ redis }, onSentAt): Promise<Consumer> {
    const log = await connect(redis, { namespace, collections: [products] })
    const arrived = new Arrivals()
    const feed = log.feed(products)
    const follow = async (): Promise<void> => {
      for await (const change of feed) {
        if (onSentAt) onSentAt(change.value!.sentAt)
        arrived.add(1)
      }
    }
    return {
      async start() {
        await feed.started
        void follow()
      },
      async stop() {
        feed.close()
      },
      caughtUp: (count) => arrived.reach(count),
      async close() {
        feed.close()
        await log.close()
      },
    }
  },
}
