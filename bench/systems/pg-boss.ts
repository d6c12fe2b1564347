import { Client } from 'pg'
import PgBoss from 'pg-boss'
import { Arrivals } from '../src/arrivals.ts'
import type { Product } from '../src/product.ts'
import type { System } from '../src/system.ts'

const queue = 'products'
const idleMs = 2

export const system: System = {
  name: 'pg-boss',
  settings:
    'pg-boss: `insert` of 500 jobs, 2 calls under way; `fetch` and `complete` of 500 jobs in one loop, which was faster than two; without supervision and schedules',
  needs: ['postgres'],
  packages: ['pg-boss', 'pg'],
  messages: 10_000,
  sending: { together: 500, inFlight: 2 },
  keepsBacklog: true,
  async reset({ postgres }) {
    const client = new Client({ connectionString: postgres })
    await client.connect()
    await client.query('DROP SCHEMA IF EXISTS pgboss CASCADE')
    await client.end()
    const boss = await startBoss(postgres)
    await boss.createQueue(queue)
    await boss.stop({ graceful: false })
  },
  async openProducer({ postgres }) {
    const boss = await startBoss(postgres)
    return {
      send: (products: readonly Product[]) => boss.insert(products.map((data) => ({ name: queue, data }))),
      close: () => boss.stop({ graceful: false }),
    }
  },
  async openConsumer({ postgres }, onSentAt) {
    const boss = await startBoss(postgres)
    const completed = new Arrivals()
    let stopping = new AbortController()
    let ended = Promise.resolve()

    async function workUntil(stop: AbortSignal): Promise<void> {
      while (!stop.aborted) {
        const jobs = await boss.fetch<Product>(queue, { batchSize: 500 })
        if (jobs.length === 0) {
          await new Promise((resolve) => setTimeout(resolve, idleMs))
          continue
        }
        for (const { data } of jobs) onSentAt?.(data.sentAt)
        await boss.complete(
          queue,
          jobs.map(({ id }) => id),
        )
        completed.add(jobs.length)
      }
    }

    const stop = async () => {
      stopping.abort()
      await ended
    }
    return {
      async start() {
        stopping = new AbortController()
        ended = workUntil(stopping.signal)
      },
      stop,
      caughtUp: (products) => completed.reach(products),
      async close() {
        await stop()
        await boss.stop({ graceful: false })
      },
    }
  },
}

async function startBoss(connectionString: string): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString, supervise: false, schedule: false })
  boss.on('error', (error) => console.error(error))
  await boss.start()
  return boss
}
