import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { notes } from '@headwater/conformance'
import {
  directoryArchive,
  HeadwaterError,
  memorySink,
  reject,
  setRetention,
  startWorker,
  type MemorySink,
} from '@headwater/core'
import { startUpkeep, upkeepQueueName, type TaskName, type UpkeepOptions } from '@headwater/upkeep'
import { Queue, type Job } from 'bullmq'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Note } from '@headwater/conformance'
import { eventually } from '../support/eventually.ts'
import { client, log, openOwnLog } from '../worker/own-log.ts'
import { drained, statusOf } from '../worker/test-log.ts'
import { watchedSink } from '../worker/watched-sink.ts'

const everyMs = 3_600_000

openOwnLog()

beforeEach(async () => {
  await setRetention(log, { retentionMs: 0 })
})

/** A sink that holds what the log does: three notes, and a tombstone of a fourth. */
async function filledSink(): Promise<MemorySink<Note>> {
  const sink = memorySink({ collection: notes })
  for (const id of ['a', 'b', 'c', 'd']) await log.append(notes.put({ id, content: 1 }))
  await log.append(notes.delete('d'))
  const worker = await startWorker(log, { groups: { copy: sink } })
  await drained(log, 'copy')
  await worker.stop()
  return sink
}

/** The first run of a task, when it has ended. */
async function firstRun(task: TaskName, options: Partial<UpkeepOptions> = {}): Promise<Job> {
  const upkeep = await startUpkeep(log, { client, tasks: { [task]: { everyMs } }, ...options })
  try {
    return await endedRun(upkeep.queues[0]!)
  } finally {
    await upkeep.stop()
  }
}

async function endedRun(queue: Queue): Promise<Job> {
  return await eventually(async () => {
    const [job] = await queue.getJobs(['completed', 'failed'])
    expect(job?.finishedOn).toBeDefined()
    return job!
  })
}

describe('upkeep', () => {
  it('trims', async () => {
    await filledSink()
    const job = await firstRun('trim')
    expect(job).toMatchObject({
      name: 'trim',
      data: {},
      progress: 100,
      returnvalue: { removed: 5, partitions: [{ partition: 0, removed: 5, trimmed: 5 }] },
    })
  })

  it('archives', async () => {
    await filledSink()
    const directory = mkdtempSync(join(tmpdir(), 'headwater-upkeep-'))
    try {
      const job = await firstRun('archive', { archive: directoryArchive(directory) })
      expect(job).toMatchObject({ progress: 100, returnvalue: { changes: 5, partitions: [{ changes: 5 }] } })
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  it('purges beside the log and in sinks', async () => {
    const copy = await filledSink()
    await firstRun('trim')
    const job = await firstRun('purge', { groups: { copy } })
    expect(job).toMatchObject({
      progress: 100,
      returnvalue: { idempotencyRecords: 0, producers: 0, tombstones: 1, sinkTombstones: { copy: 1 } },
    })
  })

  it('feeds parked keys back', async () => {
    const sink = watchedSink()
    const worker = await startWorker(log, { groups: { picky: sink } })
    sink.answer = ({ changes }) => changes.map(() => reject(new HeadwaterError('SINK_REJECTED', 'No.')))
    await log.append(notes.put({ id: 'a', content: 1 }))
    await eventually(async () => expect((await statusOf(log, 'picky')).parked).toBe(1))
    const rejected = await firstRun('redrive', { tasks: { redrive: { everyMs, reason: 'UPCAST_FAILED' } } })
    expect(rejected.returnvalue).toMatchObject({ groups: { picky: { selected: 0 } } })
    expect(rejected.data).toEqual({ reason: 'UPCAST_FAILED' })
    sink.answer = () => undefined
    const job = await firstRun('redrive', { prefix: 'other' })
    await worker.stop()
    expect(job.returnvalue).toEqual({
      groups: { picky: { selected: 1, redriven: 1, changes: 1, refused: 0, waiting: 0 } },
    })
    expect([...sink.entries().keys()]).toEqual(['a'])
  })

  it('verifies and scrubs each sink that can be compared', async () => {
    const copy = await filledSink()
    const groups = { copy, deaf: { ...copy, takes: 'events' as const } }
    const verified = await firstRun('verify', { groups, tasks: { verify: { everyMs, deep: true } } })
    expect(verified).toMatchObject({
      name: 'verify copy',
      data: { group: 'copy', deep: true },
      returnvalue: { group: 'copy', result: 'equal', deep: true, checked: 3 },
    })
    const scrubbed = await firstRun('scrub', { groups })
    expect(scrubbed.returnvalue).toEqual({ group: 'copy', checked: 4, found: 0 })
  })

  it('fails a run that finds a difference, at once, and says which kind and not which values', async () => {
    const copy = await filledSink()
    copy.target.rows.delete('b')
    const verified = await firstRun('verify', { groups: { copy } })
    expect(verified.attemptsMade).toBe(1)
    expect(verified.failedReason).toBe(
      'copy differs from the log, among 3 keys: 1 missing. `headwater diff copy` shows them.',
    )
    const scrubbed = await firstRun('scrub', { groups: { copy } })
    expect(scrubbed.failedReason).toContain('copy holds 1 of 4 values')
  })

  it('tries again what may pass, and not what cannot', async () => {
    const copy = await filledSink()
    const upkeep = await startUpkeep(log, {
      client,
      tasks: { verify: { everyMs, timeoutMs: 0 } },
      groups: { copy: { ...copy, list: () => fails(new Error('Away.')), digest: undefined as never } },
    })
    const [queue] = upkeep.queues
    await eventually(async () => {
      const delayed = await queue!.getJobs('delayed')
      expect(delayed.map(({ failedReason }) => failedReason)).toContain('Away.')
    })
    await upkeep.stop()
    const unknown = await startUpkeep(log, { client, tasks: { redrive: { everyMs } } })
    const added = await unknown.queues[0]!.add('redrive', { reason: 'NO_SUCH_CODE' }, { attempts: 5 })
    await eventually(async () => expect(await added.getState()).toBe('failed'))
    const failed = await unknown.queues[0]!.getJob(added.id!)
    await unknown.stop()
    expect(failed!.failedReason).toMatch(/^The data of this job cannot be read\. reason/)
    expect(failed!.attemptsMade).toBe(1)
  })

  it('does not take up a run of a group that this process was not given', async () => {
    const copy = await filledSink()
    await using upkeep = await startUpkeep(log, { client, groups: { copy }, tasks: { verify: { everyMs } } })
    const added = await upkeep.queues[0]!.add('verify other', { group: 'other' }, { attempts: 5 })
    await eventually(async () => expect(await added.getState()).toBe('failed'))
    const failed = await upkeep.queues[0]!.getJob(added.id!)
    expect(failed!.failedReason).toMatch(/^This process has no sink for other/)
    expect(failed!.attemptsMade).toBe(1)
  })

  it('tells its logger how runs end, without what sinks say', async () => {
    const copy = await filledSink()
    copy.target.rows.delete('b')
    const told: unknown[] = []
    const note = (level: string) => (facts: object, message: string) =>
      void told.push([level, facts, message])
    const logger = { info: note('info'), warn: note('warn'), error: note('error') }
    await firstRun('trim', { logger })
    await firstRun('verify', { groups: { copy }, logger })
    expect(told).toEqual([
      ['info', { event: 'upkeep-ran', task: 'trim', attempts: 1 }, 'trim ran'],
      [
        'error',
        { event: 'upkeep-failed', task: 'verify', group: 'copy', attempts: 1, code: 'UnrecoverableError' },
        'verify copy failed',
      ],
    ])
  })
})

const fails = (error: Error): AsyncIterable<never> => ({
  [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }),
})

describe('a schedule', () => {
  it('stays as it is when another process starts with the same options, and changes with them', async () => {
    const options = { client, tasks: { trim: { everyMs } } }
    await using first = await startUpkeep(log, options)
    const [queue] = first.queues
    await endedRun(queue!)
    const before = await queue!.getJobScheduler('trim')
    await using second = await startUpkeep(log, options)
    expect(await second.queues[0]!.getJobScheduler('trim')).toEqual(before)
    await using third = await startUpkeep(log, {
      client,
      tasks: { trim: { cron: '0 3 * * *', timeZone: 'UTC' } },
    })
    const after = await third.queues[0]!.getJobScheduler('trim')
    expect(after).toMatchObject({ pattern: '0 3 * * *', tz: 'UTC' })
    expect(new Date(after!.next!).getUTCHours()).toBe(3)
    expect(await queue!.getDelayedCount()).toBe(1)
  })

  it('goes on though its next job has gone', async () => {
    const options = { client, tasks: { trim: { everyMs } } }
    const first = await startUpkeep(log, options)
    await endedRun(first.queues[0]!)
    await first.stop()
    const queue = new Queue(upkeepQueueName(log.namespace, 'trim'), { connection: client })
    const [next] = await queue.getJobs('delayed')
    await client.del(queue.toKey(next!.id!))
    await client.zrem(queue.toKey('delayed'), next!.id!)
    await using second = await startUpkeep(log, options)
    expect(await second.queues[0]!.getDelayedCount()).toBe(1)
    await queue.close()
  })

  it('is kept for the next start when nobody runs it', async () => {
    const first = await startUpkeep(log, { client, tasks: { trim: { everyMs: 1_000 } } })
    await endedRun(first.queues[0]!)
    await first.stop()
    await using second = await startUpkeep(log, { client, tasks: { trim: { everyMs: 1_000 } } })
    await eventually(async () => expect(await second.queues[0]!.getCompletedCount()).toBeGreaterThan(2))
  })
})
