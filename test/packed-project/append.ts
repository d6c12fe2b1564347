// What a user's program does first. `pnpm check` runs it from the packed tarballs, plainly and bundled.
import { strictEqual } from 'node:assert'
import { connect, defineCollection } from '@headwater/core'
import { z } from 'zod'

const { REDIS_URL: url, NAMESPACE: namespace } = process.env
if (!url || !namespace) throw new Error('REDIS_URL and NAMESPACE must say where to append.')

const products = defineCollection('products', {
  schema: z.object({ sku: z.string(), name: z.string() }),
  key: (product) => product.sku,
})
const log = await connect(url, { namespace, collections: [products] })
const { version } = await log.append(products.put({ sku: 'lamp', name: 'Lamp' }), { expected: 'absent' })
strictEqual(version, '1')
const lamp = await log.get(products, 'lamp')
strictEqual(lamp?.value.name, 'Lamp')
await log.close()
