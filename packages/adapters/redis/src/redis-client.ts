import type { Command } from 'ioredis'

/**
 * What the sink uses of a client: an ioredis `Redis` or `Cluster`, 5.11 or later, with any protocol and reply mapping.
 * Everything is a script, and every reply of a script a list of texts, so no mapping changes them.
 */
export interface RedisClient {
  readonly isCluster: boolean
  readonly options: { readonly keyPrefix?: string | undefined; readonly db?: number | undefined }
  /** Gives the promise of what is answered. */
  sendCommand(command: Command): unknown
}
