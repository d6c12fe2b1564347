import { defineConfig } from '@headwater/cli'
import { nodeSets, type Node } from '@headwater/core'
import { redisNode } from '@headwater/redis'
import { Redis } from 'ioredis'

/** Three nodes, on the servers of NODE_URLS. */
export default defineConfig({
  collections: [nodeSets],
  nodeSets: {
    books: (): readonly Node[] =>
      ['one', 'two', 'three'].map((name, at) => {
        const url = process.env['NODE_URLS']!.split(' ')[at]!
        const client = new Redis(url, { retryStrategy: () => null, maxRetriesPerRequest: 0 })
        client.on('error', () => {})
        return redisNode({ name, client, key: process.env['NODE_KEY']! })
      }),
  },
})
