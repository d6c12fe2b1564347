import { notes } from '@headwater/conformance'
import { startWorker } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, events, follow, log, openFollowedLog, server, sink, worker } from './followed-log.ts'
import { appendEach, drained, openTestLog, partitionKeys, statusOf } from './test-log.ts'
import { watchedSink } from './watched-sink.ts'

const group = 'copy'
openFollowedLog()

const start = () => follow({ coalesce: false })

/** A worker has applied the first three of six changes, and is gone. */
async function appliedHalf(): Promise<void> {
  await start()
  await appendEach(log, [1, 2, 3])
  await drained(log, group)
  await worker!.stop()
  await appendEach(log, [4, 5, 6])
}

describe('entries that are missing before they were applied', () => {
  it.each([
    [
      'trimmed',
      'lacks sequences 4 to 5',
      (stream: string) => client.xtrim(stream, 'MINID', '1-6'),
      [1, 2, 3],
    ],
    [
      'deleted from the middle',
      'lacks sequences 5 to 5',
      (stream: string) => client.xdel(stream, '1-5'),
      [1, 2, 3, 4],
    ],
    [
      'deleted from the end',
      'ends at sequence 5',
      (stream: string) => client.xdel(stream, '1-6'),
      [1, 2, 3, 4, 5],
    ],
  ])('are reported, and nothing behind them is applied: %s', async (_, says, remove, applied) => {
    await appliedHalf()
    await remove(partitionKeys(log, group).log)
    await start()
    const { error } = await events.first('damaged')
    expect(error).toMatchObject({ code: 'LOG_DAMAGED', message: expect.stringContaining(says) as string })
    // Again, and not only at the first attempt.
    await eventually(() => expect(events.of('damaged').length).toBeGreaterThan(1))
    expect(new Set(sink.offered())).toEqual(new Set(applied))
    const status = await statusOf(log, group)
    expect(status.checkpoint).toBe(`0:1-${applied.length}`)
    expect(status.damage).toContain(says)
  })

  it('stop only their own partition', async () => {
    await using wide = await openTestLog(server.options, { partitions: 2 })
    const wideSink = watchedSink()
    const run = () => startWorker(wide, { groups: { [group]: wideSink }, onEvent: events.note })
    const first = await run()
    await first.stop()
    const results = await appendEach(wide, [1, 2, 3, 4, 5, 6, 7, 8], (content) => `${content}`)
    await client.xtrim(partitionKeys(wide, group, 0).log, 'MINID', '1-2')
    const second = await run()
    await events.first('damaged', { partition: 0 })
    await eventually(async () => expect(await statusOf(wide, group, 1)).toMatchObject({ lag: 0 }))
    await second.stop()
    const sound = results.filter(({ position }) => position.startsWith('1:')).map(({ key }) => key)
    expect([...wideSink.entries().keys()].toSorted()).toEqual(sound.toSorted())
  })

  it('are no damage once every group has applied them', async () => {
    await start()
    await appendEach(log, [1, 2, 3])
    await drained(log, group)
    await client.xtrim(partitionKeys(log, group).log, 'MINID', '1-4')
    await appendEach(log, [4])
    await drained(log, group)
    await worker!.stop()
    await start()
    await appendEach(log, [5])
    await drained(log, group)
    expect(events.of('damaged')).toEqual([])
    expect(new Set(sink.offered())).toEqual(new Set([1, 2, 3, 4, 5]))
  })
})

describe('damage that was mended', () => {
  it('lets the partition go on, and is not reported any more', async () => {
    await appliedHalf()
    const { log: stream } = partitionKeys(log, group)
    const whole = await client.dumpBuffer(stream)
    await client.xdel(stream, '1-5')
    await start()
    await events.first('damaged')
    await client.restore(stream, 0, whole, 'REPLACE')
    await drained(log, group)
    expect(
      sink
        .offered()
        .toSorted((a, b) => a - b)
        .filter((one, at, all) => one !== all[at - 1]),
    ).toEqual([1, 2, 3, 4, 5, 6])
    await eventually(async () => expect((await statusOf(log, group)).damage).toBeUndefined())
  })
})

describe('a log that was flushed or deleted while it is worked on', () => {
  it.each([
    ['flushed', () => client.flushall()],
    ['without its stream', () => client.del(partitionKeys(log, group).log)],
    ['without its header', () => client.del(partitionKeys(log, group).header)],
    ['without the record of its group', () => client.del(partitionKeys(log, group).group)],
    [
      'with something else under the name of its stream',
      () => client.set(partitionKeys(log, group).log, 'hello'),
    ],
  ])('is reported as damaged: %s', async (_, damage) => {
    await follow({}, { leaseMs: 600 })
    await appendEach(log, [1])
    await drained(log, group)
    await damage()
    const { error } = await events.first('damaged')
    expect(error.code).toBe('LOG_DAMAGED')
    expect(sink.offered()).toEqual([1])
    expect(sink.entries().get('lamp')).toEqual({ id: 'lamp', content: 1 })
  })

  it('does not take appends, rather than begin again from nothing', async () => {
    await appendEach(log, [1])
    await client.flushall()
    await expect(log.append(notes.put({ id: 'lamp', content: 2 }))).rejects.toMatchObject({
      code: 'LOG_DAMAGED',
    })
    expect(await client.dbsize()).toBe(0)
  })
})
