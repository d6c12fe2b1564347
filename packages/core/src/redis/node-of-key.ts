import type { Cluster, Redis } from 'ioredis'
import type { RedisClient } from './connection.ts'

/**
 * Does something on the client of the one node that holds a key: on a Cluster the master of its slot, elsewhere the
 * client itself. A node that fails may not hold the key any more, so the Cluster is asked again before the next try.
 */
export async function onNodeOfKey<T>(
  client: RedisClient,
  key: string,
  use: (node: Redis) => Promise<T>,
): Promise<T> {
  if (!isCluster(client)) return await use(client)
  try {
    return await use(await masterOf(client, key))
  } catch (error) {
    client.refreshSlotsCache()
    throw error
  }
}

/** What changes when a client has reconnected. */
export function socketOf(client: Redis): unknown {
  return (client as { stream?: unknown }).stream
}

async function masterOf(cluster: Cluster, key: string): Promise<Redis> {
  const slot = await cluster.cluster('KEYSLOT', key)
  const [address] = cluster.slots[slot] ?? []
  const node = cluster.nodes('master').find(({ options }) => `${options.host}:${options.port}` === address)
  if (node) return node
  throw new Error(`Stream isn't writeable: no master is known for slot ${slot}`)
}

export function isCluster(client: RedisClient): client is Cluster {
  return 'slots' in client
}
