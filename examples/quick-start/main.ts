import { connect, defineCollection, startWorker, verify } from '@headwater/core'
import { postgresSink } from '@headwater/postgres'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { Pool } from 'pg'
import { z } from 'zod'

const products = defineCollection('products', {
  schema: z.object({ sku: z.string(), name: z.string(), priceCents: z.int() }),
  key: (product) => product.sku,
})
const log = await connect('redis://localhost:6379', { namespace: 'shop', collections: [products] })

const reporting = postgresSink({ pool: new Pool(), collection: products, table: 'products' })
const cache = redisSink({
  client: new Redis('redis://localhost:6380'),
  collection: products,
  key: (sku) => `product:${sku}`,
})
const worker = await startWorker(log, { groups: { reporting, cache } })

const lamp = await log.append(products.put({ sku: 'lamp', name: 'Lamp', priceCents: 900 }), {
  expected: 'absent',
})
const cheaper = await log.append(products.patch('lamp', { priceCents: 800 }), { expected: lamp.version })
await log.whenApplied(cheaper.position, { group: 'reporting', timeoutMs: 2_000 })
const report = await verify(log, cache)
console.log(report.equal ? `${report.checked} keys agree` : report.differences)
await worker.stop()
await log.close()
