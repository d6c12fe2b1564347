import { Redis } from 'ioredis'
import type { RedisAddress } from './raw-client.ts'

/** Deletes everything there. */
export async function emptyRedis(...servers: readonly RedisAddress[]): Promise<void> {
  for (const { host, port } of servers) {
    const client = new Redis({ host, port })
    await client.flushall()
    client.disconnect()
  }
}
