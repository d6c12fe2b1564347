import { Redis } from 'ioredis'
import { Arrivals } from '../src/arrivals.ts'
import { emptyRedis } from '../src/empty-redis.ts'
import type { Product } from '../src/product.ts'
import type { Consumer, System } from '../src/system.ts'
import { openXaddPipeline } from './ioredis-pipeline.ts'

const group = 'group'

export const system: System = {
  name: 'plain-loop',
  settings:
    'ioredis pipelines of 500 `XADD`, then `XREADGROUP COUNT 500` on one connection and `XACK` on another without waiting for it; RESP2; it applies nothing and parses no JSON',
  needs: ['redis'],
  packages: ['ioredis'],
  messages: 200_000,
  sending: { together: 500, inFlight: 2 },
  keepsBacklog: true,
  async reset({ redis }) {
    await emptyRedis(redis)
    const client = new Redis(redis)
    await client.xgroup('CREATE', 'log', group, '0', 'MKSTREAM')
    client.disconnect()
  },
  openProducer: async ({ redis }) => openXaddPipeline(redis),
  async openConsumer({ redis }, onSentAt): Promise<Consumer> {
    const reading = new Redis({ ...redis, protocol: 2 })
    const acknowledging = new Redis({ ...redis, protocol: 2 })
    const acknowledged = new Arrivals()
    let stopping = new AbortController()
    let ended = Promise.resolve()

    async function readUntil(stop: AbortSignal): Promise<void> {
      while (!stop.aborted) {
        const reply = (await reading.xreadgroup(
          'GROUP',
          group,
          'consumer',
          'COUNT',
          500,
          'BLOCK',
          100,
          'STREAMS',
          'log',
          '>',
        )) as [string, [string, string[]][]][] | null
        const entries = reply?.[0]?.[1] ?? []
        if (entries.length === 0) continue
        if (onSentAt) for (const [, fields] of entries) onSentAt((JSON.parse(fields[1]!) as Product).sentAt)
        void acknowledging
          .xack('log', group, ...entries.map(([id]) => id))
          .then((count) => acknowledged.add(count))
      }
    }

    const stop = async () => {
      stopping.abort()
      await ended
    }
    return {
      async start() {
        stopping = new AbortController()
        ended = readUntil(stopping.signal)
      },
      stop,
      caughtUp: (products) => acknowledged.reach(products),
      async close() {
        await stop()
        reading.disconnect()
        acknowledging.disconnect()
      },
    }
  },
}
