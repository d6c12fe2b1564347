// Serves the page on http://127.0.0.1:8080 until Ctrl-C, on REDIS_URL or a Redis of its own.
import { once } from 'node:events'
import { connect } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { serveLivePage } from './live-page.ts'
import { products, shelf } from './products.ts'

await using redis = await startRedis()
await using log = await connect(redis.options, {
  namespace: `${redis.namespacePrefix}live-page`,
  collections: [products],
})
for (const product of shelf) {
  if (!(await log.get(products, product.sku))) await log.append(products.put(product))
}
await using page = await serveLivePage(log, Number(process.env['PORT'] ?? 8080))
console.log(`Open ${page.url} in two tabs. Edit from here, too:`)
console.log(
  `  pnpm headwater append products '{"sku":"lamp","name":"Storm lamp","stock":99}' --namespace ${log.namespace} --redis '${redis.url}'`,
)
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
