import { Redis, type RedisOptions } from 'ioredis'

/** Lends a client that fails at once where another would try again, and closes it. */
export async function withRedis<T>(options: RedisOptions, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({ ...options, retryStrategy: () => null, maxRetriesPerRequest: 0 })
  // Whoever waits for a reply is told.
  client.on('error', () => {})
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}
