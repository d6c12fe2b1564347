import { connect, defineCollection } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { z } from 'zod'
await using redis = await startRedis({ own: true })
const products = defineCollection('products', {
  schema: z.object({
    id: z.string(),
    qty: z.number(),
    price: z.number(),
    on: z.boolean(),
    ts: z.number(),
    name: z.string(),
  }),
  key: (p) => p.id,
})
const log = await connect(redis.url, { namespace: 'shop', collections: [products] })
const N = 300000
const inFlight = Number(process.argv[2] ?? 500)
const values = Array.from({ length: 20000 }, (_, i) => ({
  id: 'k' + String((i * 7919) % 100000).padStart(7, '0'),
  qty: i % 900,
  price: 19.99,
  on: true,
  ts: 1700000000000,
  name: 'abcdefghijklmnopqr',
}))
for (let round = 0; round < 3; round++) {
  let i = 0
  const t = performance.now(),
    c = process.cpuUsage()
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (i < N) {
        await log.append(products.put(values[i++ % values.length]!))
      }
    }),
  )
  const d = process.cpuUsage(c)
  console.log(
    'rate',
    Math.round((N / (performance.now() - t)) * 1000),
    'cpu us/append',
    ((d.user + d.system) / N).toFixed(2),
  )
}
await log.close()
