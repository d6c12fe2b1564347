import { emptyRedis } from '../src/empty-redis.ts'
import { encodeCommand, joinAll, RawClient, type Write } from '../src/raw-client.ts'
import type { Producer, System } from '../src/system.ts'

export const system: System = {
  name: 'raw-xadd',
  settings:
    'one `XADD` with one field for each product, all encoded beforehand, 500 a write, 4 writes under way on one socket; nothing parses the replies',
  needs: ['redis'],
  packages: [],
  messages: 200_000,
  sending: { together: 500, inFlight: 4 },
  keepsBacklog: true,
  async reset({ redis }) {
    await emptyRedis(redis)
  },
  async openProducer({ redis }): Promise<Producer<Write>> {
    const client = await RawClient.connect(redis)
    return {
      encode(products) {
        const commands = products.map((product) =>
          encodeCommand(['XADD', 'log', '*', 'product', JSON.stringify(product)]),
        )
        return joinAll(commands)
      },
      send: (write) => client.send(write),
      async close() {
        client.close()
      },
    }
  },
}
