import type { ClusterTarget, WorkerEvent } from '@headwater/core'
import type { RedisOptions } from 'ioredis'
import type { PoolConfig } from 'pg'

/** What a worker process runs. */
export interface WorkerProcessOptions {
  readonly log: RedisOptions | ClusterTarget
  readonly namespace: string
  readonly groups: Readonly<Record<string, WorkerProcessSink>>
  readonly leaseMs: number
  readonly attemptMs?: number
}

/** Where a group of a worker process writes: everything under a prefix, a table, or a queue. */
export type WorkerProcessSink =
  | { readonly kind: 'redis'; readonly target: RedisOptions; readonly prefix: string }
  | {
      readonly kind: 'postgres'
      readonly connection: PoolConfig
      readonly schema: string
      readonly table: string
    }
  | { readonly kind: 'bullmq'; readonly target: RedisOptions; readonly queue: string }

/** What a worker process tells: its worker's events, with the error as far as it can be told. */
export type ToldEvent =
  | { readonly kind: 'started' }
  | (Omit<WorkerEvent, 'error'> & {
      readonly group: string
      readonly partition: number
      readonly error?: { readonly code: string; readonly message: string }
    })
