import type { Change, ChangeKind, Position, Version } from '@headwater/core'
import type { JobsOptions } from 'bullmq'

/** The data of a job, unless `job` says otherwise: one change, as it was appended. */
export interface ChangeJob<T = unknown> {
  readonly collection: string
  readonly key: string
  readonly kind: ChangeKind
  /** Of the key: 1, 2, 3 … */
  readonly version: Version
  /** Where it stands in the log, so that a worker can tell what is older than what it has done. */
  readonly position: Position
  /** When it was appended, in ms since 1970. */
  readonly time: number
  /** Absent for a delete. */
  readonly value?: T
  readonly metadata: Readonly<Record<string, string>>
}

/** What a job may be given. Its id is the change's, and nothing may keep it from being added. */
export type ChangeJobOptions = Omit<JobsOptions, 'jobId' | 'repeat' | 'parent' | 'deduplication'>

/** A job that stands for a change. */
export interface NamedJob {
  /** Default: the collection's name. */
  readonly name?: string
  /** Default: a `ChangeJob`. */
  readonly data?: unknown
  /** Default: none, so what the queue's workers have. */
  readonly opts?: ChangeJobOptions
}

/**
 * The id of the job of a change, the same whoever adds it: `products.3.1.1842` for the change at 3:1-1842 of the collection
 * products. Colons are BullMQ's own.
 */
export function jobIdOf({ collection, partition, stamp }: Change): string {
  return `${collection}.${partition}.${stamp.epoch}.${stamp.sequence}`
}

export function jobDataOf<T>(change: Change<T>): ChangeJob<T> {
  const { collection, key, kind, version, position, time, value, metadata } = change
  return { collection, key, kind, version, position, time, ...(value !== undefined && { value }), metadata }
}
