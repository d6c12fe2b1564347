import { Redis } from 'ioredis'
import { openShop, products, redis } from './shop.ts'

await using log = await openShop()
const priceCents = Math.round(Math.random() * 10_000)
const { version, position } = await log.append(products.put({ sku: 'lamp', name: 'Lamp', priceCents }))
console.log(`lamp is at version ${version}`)

// The worker that `npm run dev` runs brings it to the copy.
await log.whenApplied(position, { group: 'cache', timeoutMs: 10_000 })
const copy = new Redis(redis)
console.log(`the copy has ${await copy.get('product:lamp')}`)
copy.disconnect()
