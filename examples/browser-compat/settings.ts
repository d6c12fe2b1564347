import type { RedisOptions } from 'ioredis'
import type { PoolConfig } from 'pg'

/** Where everything is: what the demo tells its workers. */
export interface Settings {
  readonly log: { readonly redis: RedisOptions; readonly namespace: string }
  readonly cache: { readonly redis: RedisOptions; readonly keyPrefix: string }
  readonly reporting: { readonly postgres: PoolConfig; readonly schema: string }
  readonly leaseMs: number
}
