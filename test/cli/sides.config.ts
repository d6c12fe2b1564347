import { defineConfig } from '@headwater/cli'
import { redisNode, redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { products } from './shop.ts'

/** Two copies and two nodes of the products, all on REPLICA_URL. */
const client = (): Redis => new Redis(process.env['REPLICA_URL']!)
const copy = (name: string) =>
  redisSink({ client: client(), collection: products, key: `${name}:{key}`, prefix: `sink-${name}` })

export default defineConfig({
  collections: [products],
  groups: () => ({ one: copy('one'), two: copy('two') }),
  nodeSets: {
    shops: () => ['eu', 'us'].map((name) => redisNode({ name, client: client(), key: `node-${name}` })),
  },
})
