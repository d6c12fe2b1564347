import { startWorker } from '@headwater/core'
import { connect } from '@headwater/core'
import { postgresCopy, redisCopy } from '../verify/copies.ts'
import { itemsCollection, Traffic } from '../verify/shop.ts'
import type { LiveSettings } from './live.ts'

// The worker and the traffic, in a process of their own: so what the prover sends and receives is its own.

const { redis, postgres, namespace, prefix, names } = JSON.parse(process.argv[2]!) as LiveSettings
const items = itemsCollection()
const log = await connect(redis, { namespace, collections: [items] })
const copies = [redisCopy(items, redis, prefix, names.redis), postgresCopy(items, postgres, names.postgres)]
const groups = Object.fromEntries(copies.map(({ name, sink }) => [name, sink]))
const worker = await startWorker(log, { groups, leaseMs: 10_000 })
let traffic: Traffic | undefined

process.on('message', (word) => {
  if (word === 'traffic') traffic = new Traffic(log, items)
  else void end()
})
process.on('disconnect', () => process.exit(1))
process.send!('ready')

async function end(): Promise<void> {
  await traffic?.stop()
  process.send!({ written: traffic?.written ?? 0 })
  await worker.stop()
  await log.close()
  process.exit(0)
}
