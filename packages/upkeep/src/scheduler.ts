import type { JobSchedulerTemplateOptions, Queue } from 'bullmq'
import { isDeepStrictEqual } from 'node:util'

/** What a job scheduler of BullMQ is to be. */
export interface WantedScheduler {
  readonly id: string
  readonly repeat: { readonly every: number } | { readonly pattern: string; readonly tz?: string }
  readonly name: string
  readonly data: Readonly<Record<string, unknown>>
  readonly opts: JobSchedulerTemplateOptions
}

/**
 * Makes a scheduler as it is wanted. One that is so already is left alone: to set it again would take its next job away and
 * put another in place, so processes that start together would trip over each other.
 */
export async function schedule(queue: Queue, wanted: WantedScheduler): Promise<void> {
  const { id, repeat, name, data, opts } = wanted
  const present = await queue.getJobScheduler(id)
  const isSame =
    present !== undefined &&
    present.name === name &&
    isDeepStrictEqual(repeatOf(present), repeat) &&
    isDeepStrictEqual(present.template?.data ?? {}, data) &&
    isDeepStrictEqual(present.template?.opts ?? {}, opts)
  if (isSame) await mend(queue, id)
  else await queue.upsertJobScheduler(id, repeat, { name, data, opts })
}

/**
 * Sets a scheduler again, as it stands there, whose next job has gone: each job brings forth the next one, so nothing would
 * run any more. One that somebody has removed stays away.
 */
export async function mend(queue: Queue, id: string): Promise<void> {
  const present = await queue.getJobScheduler(id)
  if (!present) return
  const next = await queue.getJob(`repeat:${id}:${present.next}`)
  const state = await next?.getState()
  if (state !== undefined && state !== 'completed' && state !== 'failed' && state !== 'unknown') return
  const { name, template = {} } = present
  await queue.upsertJobScheduler(id, repeatOf(present), { name, ...template })
}

type Present = NonNullable<Awaited<ReturnType<Queue['getJobScheduler']>>>

function repeatOf({ every, pattern, tz }: Present): WantedScheduler['repeat'] {
  if (every !== undefined) return { every }
  return { pattern: pattern!, ...(tz !== undefined && { tz }) }
}
