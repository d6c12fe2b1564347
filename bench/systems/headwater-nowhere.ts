import { emptyRedis } from '../src/empty-redis.ts'
import { nowhereSink } from '../src/nowhere-sink.ts'
import type { System } from '../src/system.ts'
import { openWorkerConsumer } from '../src/worker-consumer.ts'
import { openAppender } from './headwater.ts'

export const system: System = {
  name: 'headwater-nowhere',
  settings: 'defaults; a sink that does nothing, so that all the work is that of the worker around it',
  needs: ['redis'],
  packages: [],
  messages: 200_000,
  sending: { together: 1, inFlight: 4_000 },
  keepsBacklog: true,
  async reset({ redis }) {
    await emptyRedis(redis)
  },
  openProducer: ({ redis }) => openAppender(redis),
  openConsumer: ({ redis }, onSentAt) => openWorkerConsumer(redis, nowhereSink(), onSentAt),
}
