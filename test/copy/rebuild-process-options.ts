import type { RedisOptions } from 'ioredis'
import type { PoolConfig } from 'pg'

/** Where a rebuild process kills itself: before or after the nth call of this kind. */
export interface CrashPoint {
  readonly call: 'prepare' | 'copy' | 'advance' | 'stand' | 'switch' | 'none'
  readonly when: 'before' | 'after'
  readonly nth: number
}

export interface RebuildProcessOptions {
  readonly log: RedisOptions
  readonly namespace: string
  readonly target:
    | { readonly kind: 'pointer'; readonly redis: RedisOptions; readonly name: string }
    | {
        readonly kind: 'table'
        readonly postgres: PoolConfig
        readonly schema: string
        readonly table: string
      }
  readonly crash: CrashPoint
}
