import type { RedisOptions } from 'ioredis'
import type { PoolConfig } from 'pg'

/** The databases of a sink that has two. */
export const swappedDatabases = [8, 9] as const

/** Where a rebuild process kills itself: before or after the nth call of this kind. */
export interface CrashPoint {
  /** `switch-script`: a script of a Redis sink in the switch of the versions. */
  readonly call: 'prepare' | 'copy' | 'advance' | 'stand' | 'switch' | 'switch-script' | 'none'
  readonly when: 'before' | 'after'
  readonly nth: number
  /** That readers have the new version behind it. */
  readonly switched?: true
}

export interface RebuildProcessOptions {
  readonly log: RedisOptions
  readonly namespace: string
  readonly target:
    | { readonly kind: 'pointer'; readonly redis: RedisOptions; readonly name: string }
    | { readonly kind: 'databases'; readonly redis: RedisOptions }
    | {
        readonly kind: 'table'
        readonly postgres: PoolConfig
        readonly schema: string
        readonly table: string
      }
  readonly crash: CrashPoint
}
