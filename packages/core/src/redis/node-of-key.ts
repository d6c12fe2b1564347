import type { Redis } from 'ioredis'
import type { RedisClient } from './connection.ts'

/** The client of the one node that holds a key: on a Cluster the master of its slot, elsewhere the client itself. */
export async function nodeOfKey(client: RedisClient, key: string): Promise<Redis> {
  if (!('slots' in client)) return client
  const slot = await client.cluster('KEYSLOT', key)
  const [address] = client.slots[slot] ?? []
  const node = client.nodes('master').find(({ options }) => `${options.host}:${options.port}` === address)
  if (node) return node
  throw new Error(`Stream isn't writeable: no master is known for slot ${slot}`)
}

/** What changes when a client has reconnected. */
export function socketOf(client: Redis): unknown {
  return (client as { stream?: unknown }).stream
}
