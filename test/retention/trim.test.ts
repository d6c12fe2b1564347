import { notes } from '@headwater/conformance'
import { retention, setRetention, startWorker, trim } from '@headwater/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { registerGroup } from '../../packages/core/src/group/register-group.ts'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { releaseHold, takeHold } from '../../packages/core/src/retention/holds.ts'
import { client, log, openOwnLog } from '../worker/own-log.ts'
import { appendEach, drained, partitionKeys, statusOf } from '../worker/test-log.ts'
import { watchedSink, type WatchedSink } from '../worker/watched-sink.ts'

const group = 'copy'
let sink: WatchedSink

openOwnLog()

beforeEach(async () => {
  sink = watchedSink()
  await setRetention(log, { retentionMs: 0 })
})
afterEach(async () => {
  await client.config('SET', 'maxmemory', '0')
})

const entries = () => client.xlen(partitionKeys(log, group).log)
/** Applies everything that is in the log. */
async function applyAll(): Promise<void> {
  const worker = await startWorker(log, { groups: { [group]: sink } })
  await drained(log, group)
  await worker.stop()
}
const hold = (sequence: number) =>
  takeHold(logParts(log), {
    partition: 0,
    name: 'rebuild:notes',
    owner: 'somebody',
    kind: 'rebuild',
    after: { epoch: 1, sequence },
  })

describe('trimming', () => {
  it('removes what every group has applied and saved, and nothing of what follows', async () => {
    await appendEach(log, [1, 2, 3])
    await applyAll()
    await appendEach(log, [4, 5])
    expect(await trim(log)).toEqual([
      { partition: 0, removed: 3, trimmed: 3, heldBy: { kind: 'group', name: group } },
    ])
    expect(await entries()).toBe(2)
    expect(await trim(log)).toMatchObject([{ removed: 0, trimmed: 3 }])
  })

  it('keeps for a group what its sink has not saved, though its checkpoint is behind it', async () => {
    await appendEach(log, [1, 2, 3])
    await applyAll()
    await client.hset(partitionKeys(log, group).group, 'saved', '1-1')
    expect(await trim(log)).toMatchObject([{ trimmed: 1 }])
  })

  it('keeps everything for a group that has just been registered', async () => {
    await appendEach(log, [1, 2, 3])
    await applyAll()
    const { connection, namespace, keys, deadlineMs } = logParts(log)
    await registerGroup(connection, namespace, keys, 'late', deadlineMs)
    expect(await trim(log)).toMatchObject([{ removed: 0, heldBy: { kind: 'group', name: 'late' } }])
  })

  it('keeps what a hold needs, until it is released or has expired', async () => {
    await appendEach(log, [1, 2, 3, 4])
    await applyAll()
    await hold(2)
    expect(await trim(log)).toMatchObject([
      { removed: 2, trimmed: 2, heldBy: { kind: 'rebuild', name: 'rebuild:notes' } },
    ])
    await client.hset(
      `headwater:{${log.namespace}:0}:holds`,
      'rebuild:notes',
      '1-3 rebuild 1 1000 2 somebody else',
    )
    expect(await trim(log)).toMatchObject([{ removed: 2, trimmed: 4, heldBy: undefined }])
    expect((await retention(log)).partitions[0]!.holders).toHaveLength(1)
    await releaseHold(logParts(log), { partition: 0, name: 'rebuild:notes', owner: 'somebody' })
  })

  it('keeps what it cannot read who needs', async () => {
    await appendEach(log, [1, 2])
    await applyAll()
    await client.hset(`headwater:{${log.namespace}:0}:holds`, 'strange', 'what is this')
    expect(await trim(log)).toMatchObject([{ removed: 0, heldBy: { name: 'strange' } }])
  })

  it('keeps what is younger than the retention time, however little it is needed', async () => {
    await appendEach(log, [1, 2, 3])
    await setRetention(log, { retentionMs: 3_600_000 })
    expect(await trim(log)).toMatchObject([{ removed: 0, heldBy: undefined }])
    // What is in the log was appended two hours ago.
    const stream = partitionKeys(log, group).log
    const old = String(Date.now() - 7_200_000)
    const [first, second, third] = await client.xrange(stream, '-', '+')
    await client.del(stream)
    for (const [at, [id, fields]] of [first!, second!, third!].entries()) {
      const aged = fields.map((text, field) => (fields[field - 1] === 'time' && at < 2 ? old : text))
      await client.xadd(stream, id, ...aged)
    }
    expect(await trim(log)).toMatchObject([{ removed: 2, trimmed: 2 }])
  })

  it('does not cut a batch in two', async () => {
    await log.append([1, 2, 3].map((content) => notes.put({ id: `${content}`, content })))
    await appendEach(log, [4])
    await hold(2)
    expect(await trim(log)).toMatchObject([{ removed: 0, trimmed: 0 }])
    expect(await entries()).toBe(2)
  })

  it('only says what it would do in a dry run', async () => {
    await appendEach(log, [1, 2, 3])
    await applyAll()
    await hold(2)
    expect(await trim(log, { dryRun: true })).toMatchObject([
      { removed: 2, trimmed: 0, heldBy: { kind: 'rebuild' } },
    ])
    expect(await entries()).toBe(3)
  })

  it('works on a full server, and makes room there', async () => {
    await appendEach(log, [1, 2, 3])
    await applyAll()
    await client.config('SET', 'maxmemory', '1')
    await hold(2)
    expect(await trim(log)).toMatchObject([{ trimmed: 2 }])
    expect(await entries()).toBe(1)
  })

  it('goes in steps that are each bounded, and can be stopped between two of them', async () => {
    const many = Array.from({ length: 1_000 }, (_, content) => notes.put({ id: 'lamp', content }))
    for (let batch = 0; batch < 25; batch++) await log.append(many)
    const controller = new AbortController()
    const left: number[] = []
    const stopped = trim(log, {
      signal: controller.signal,
      onProgress: (progress) => {
        left.push(progress.left)
        if (left.length === 2) controller.abort(new Error('enough'))
      },
    })
    await expect(stopped).rejects.toThrow('enough')
    expect(left).toEqual([25_000, 15_000])
    expect(await entries()).toBe(15)
    expect(await trim(log)).toMatchObject([{ removed: 15_000, trimmed: 25_000 }])
  })

  it('counts a place in lost history only up to where that history survived', async () => {
    await appendEach(log, [1, 2, 3])
    await hold(5)
    const { header } = partitionKeys(log, group)
    await client.hset(header, 'epoch', 2, 'epoch:2', '3 branch 1')
    await appendEach(log, [4, 5, 6])
    expect((await retention(log)).partitions[0]!.holders[0]).toMatchObject({ changes: 3 })
    expect(await trim(log)).toMatchObject([{ removed: 3, trimmed: 3 }])
    const [first] = await client.xrange(partitionKeys(log, group).log, '-', '+')
    expect(first![0]).toMatch(/-4$/)
  })

  it('stops at an entry that is not ours, rather than throw something away', async () => {
    await client.xadd(partitionKeys(log, group).log, '0-1', 'hello', 'there')
    await appendEach(log, [1])
    await expect(trim(log)).rejects.toMatchObject({ code: 'LOG_DAMAGED' })
    expect(await entries()).toBe(2)
  })
})

describe('after trimming', () => {
  it('what was removed is no damage, and the group goes on', async () => {
    await appendEach(log, [1, 2, 3])
    await applyAll()
    await trim(log)
    expect(await entries()).toBe(0)
    await appendEach(log, [4])
    await applyAll()
    expect(await statusOf(log, group)).toMatchObject({ checkpoint: '0:1-4', damage: undefined })
  })

  it('a reader of what was removed is told so, also when nothing is left', async () => {
    const early = log.feed(notes)
    await early.started
    const [first] = await appendEach(log, [1, 2, 3])
    await early.next()
    const { position } = early
    early.close()
    await applyAll()
    await trim(log)
    const read = async () => {
      for await (const change of log.read(0, first!.position)) expect(change).toBeUndefined()
    }
    await expect(read()).rejects.toMatchObject({ code: 'HISTORY_TRIMMED' })
    await appendEach(log, [4])
    await expect(read()).rejects.toMatchObject({ code: 'HISTORY_TRIMMED' })
    await expect(log.getAt(notes, 'lamp', { position: first!.position })).rejects.toMatchObject({
      code: 'HISTORY_TRIMMED',
    })
    await expect(log.feed(notes, { from: position! }).next()).rejects.toMatchObject({ code: 'MUST_REFETCH' })
  })

  it('a hole that retention did not make is damage as before', async () => {
    const [first] = await appendEach(log, [1, 2, 3])
    await client.xdel(partitionKeys(log, group).log, '1-2')
    const read = async () => {
      for await (const change of log.read(0, first!.position)) expect(change).toBeUndefined()
    }
    await expect(read()).rejects.toMatchObject({ code: 'LOG_DAMAGED' })
  })
})

describe('who holds the log back', () => {
  it('is listed, the one that needs most first, with what it costs', async () => {
    await appendEach(log, [1, 2, 3, 4])
    await applyAll()
    await appendEach(log, [5, 6])
    await hold(1)
    const report = await retention(log)
    expect(report).toMatchObject({ retentionMs: 0, bytesAdvised: undefined })
    const [partition] = report.partitions
    expect(partition).toMatchObject({ partition: 0, end: '0:1-6', trimmed: 0, changes: 6 })
    expect(partition!.bytes).toBeGreaterThan(500)
    expect(partition!.holders).toMatchObject([
      { kind: 'rebuild', name: 'rebuild:notes', owner: 'somebody', after: '0:1-1', changes: 5 },
      { kind: 'group', name: group, after: '0:1-4', changes: 2 },
    ])
    const [rebuild, copy] = partition!.holders
    expect(rebuild!.bytes).toBe(Math.round((partition!.bytes * 5) / 6))
    expect(copy!.since).toBeGreaterThan(0)
  })

  it.each([-1, 1.5, Number.NaN])('is not asked with a retention time of %s', async (retentionMs) => {
    await expect(setRetention(log, { retentionMs })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })
})
