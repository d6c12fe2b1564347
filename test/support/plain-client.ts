import { Redis, type RedisOptions } from 'ioredis'

/** A client that gives replies as the server sends them, lists as lists and integers as text; it disconnects when it is disposed of. */
export function plainClient(options: RedisOptions): Redis & AsyncDisposable {
  const client = new Redis({ ...options, protocol: 2, replyMapping: 'legacy', stringNumbers: true })
  return Object.assign(client, { [Symbol.asyncDispose]: async () => client.disconnect() })
}
