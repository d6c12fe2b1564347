import { notes } from '@headwater/conformance'
import { HeadwaterError, isHeadwaterError, retention, setRetention, startWorker, trim } from '@headwater/core'
import { beforeEach, describe, expect, it } from 'vitest'
import { client, log, openOwnLog, server } from '../worker/own-log.ts'
import { drained, openTestLog, partitionKeys, statusOf } from '../worker/test-log.ts'
import { watchedSink } from '../worker/watched-sink.ts'

const group = 'copy'

openOwnLog()

beforeEach(async () => {
  await setRetention(log, { retentionMs: 0, partitionBytesMax: 200_000 })
})

/** A batch of some 10 KB. */
const batch = (round: number) =>
  Array.from({ length: 100 }, (_, at) => notes.put({ id: `${at}`.padStart(60, '0'), content: round }))

/** Appends until the log takes no more. Returns how many changes it took. */
async function fill(): Promise<number> {
  await using hasty = await openTestLog(server.options, { namespace: log.namespace, deadlineMs: 200 })
  for (let round = 0; round < 1_000;) {
    try {
      await hasty.append(batch(round), { idempotencyKey: `round ${round}` })
      round++
    } catch (error) {
      if (isHeadwaterError(error, 'LOG_FULL') && error.retryable) return round * 100
      // A busy machine: the same again gets the same result.
      if (!isHeadwaterError(error, 'OUTCOME_UNKNOWN')) throw error
    }
  }
  throw new Error('The log was never full.')
}

describe('a partition at its memory limit', () => {
  it('refuses appends with a reason that says nothing was stored, and nothing was', async () => {
    const taken = await fill()
    expect(taken).toBeGreaterThan(500)
    const { header, log: stream } = partitionKeys(log, group)
    expect(Number(await client.hget(header, 'sequence'))).toBe(taken)
    expect(await client.xlen(stream)).toBe(taken / 100)
    expect(await log.get(notes, '0'.repeat(60))).toMatchObject({ value: { content: taken / 100 - 1 } })
    const [partition] = (await retention(log)).partitions
    expect(partition!.bytes).toBeGreaterThan(150_000)
    expect(partition!.bytes).toBeLessThan(300_000)
  })

  it('gives whoever repeats what was stored before its first result', async () => {
    await fill()
    await using other = await openTestLog(server.options, { namespace: log.namespace, deadlineMs: 500 })
    const [first] = await other.append(batch(0), { idempotencyKey: 'round 0' })
    expect(first).toMatchObject({ version: '1', duplicate: true })
  })

  it('lets workers apply and park, and takes the append that waited when trimming has made room', async () => {
    const worker = await startWorker(log, { groups: { [group]: watchedSink() } })
    await drained(log, group)
    await worker.stop()
    const taken = await fill()
    const waiting = log.append(notes.put({ id: 'late', content: 1 }))
    const sink = watchedSink()
    sink.answer = ({ changes }) => {
      if (!changes.some(({ key }) => key.endsWith('07'))) return undefined
      throw new HeadwaterError('SINK_REJECTED', 'It cannot hold this.')
    }
    const again = await startWorker(log, { groups: { [group]: sink } })
    await drained(log, group)
    await again.stop()
    expect(await statusOf(log, group)).toMatchObject({ parked: 1 })
    expect(await trim(log)).toMatchObject([{ removed: taken }])
    expect(await waiting).toMatchObject({ version: '1', position: `0:1-${taken + 1}` })
  })

  it('takes appends again when the limit is raised or taken away', async () => {
    await fill()
    const waiting = log.append(notes.put({ id: 'late', content: 1 }))
    await setRetention(log, { partitionBytesMax: undefined })
    expect(await waiting).toMatchObject({ version: '1' })
    expect(await retention(log)).toMatchObject({ partitionBytesMax: undefined, retentionMs: 0 })
  })

  it.each([0, 65_535, 1.5e5 + 0.5])('cannot be %s bytes', async (partitionBytesMax) => {
    await expect(setRetention(log, { partitionBytesMax })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })
})
