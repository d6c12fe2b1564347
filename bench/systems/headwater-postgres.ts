import { Pool } from 'pg'
import { emptyRedis } from '../src/empty-redis.ts'
import { dropProductTable, productTableSink } from '../src/product-table.ts'
import type { System } from '../src/system.ts'
import { openWorkerConsumer } from '../src/worker-consumer.ts'
import { openAppender } from './headwater.ts'

export const system: System = {
  name: 'headwater-postgres',
  settings:
    'defaults; `append()` change by change; `postgresSink` with a column for each property, every change gated by stamp and fenced; one worker, a connection for each of the 8 partitions',
  needs: ['redis', 'postgres'],
  packages: ['pg'],
  messages: 50_000,
  sending: { together: 1, inFlight: 4_000 },
  keepsBacklog: true,
  async reset({ redis, postgres }) {
    await emptyRedis(redis)
    await dropProductTable(postgres)
  },
  openProducer: ({ redis }) => openAppender(redis),
  async openConsumer({ redis, postgres }, onSentAt) {
    const pool = new Pool({ connectionString: postgres })
    return openWorkerConsumer(redis, productTableSink(pool), onSentAt, () => pool.end())
  },
}
