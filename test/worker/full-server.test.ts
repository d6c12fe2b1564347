import { notes, type Note } from '@headwater/conformance'
import { HeadwaterError } from '@headwater/core'
import { afterEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, events, follow, log, openFollowedLog, sink } from './followed-log.ts'
import { appendEach, drained, statusOf } from './test-log.ts'

const group = 'copy'
openFollowedLog({ deadlineMs: 500 })
afterEach(() => client.config('SET', 'maxmemory', '0'))

const start = (leaseMs = 600) => follow({ coalesce: false }, { leaseMs })

/** From now on Redis refuses whatever may take memory. */
const fill = () => client.config('SET', 'maxmemory', '1')

describe('while the Redis of the log is full', () => {
  it('workers apply, acknowledge and commit what is in the log', async () => {
    let open!: () => void
    const gate = new Promise<void>((resolve) => (open = resolve))
    sink.answer = async () => {
      await gate
      return undefined
    }
    await start()
    await appendEach(log, [1, 2, 3])
    await eventually(() => expect(sink.calls).toHaveLength(1))
    await fill()
    await expect(log.append(notes.put({ id: 'lamp', content: 4 }))).rejects.toMatchObject({
      code: 'REDIS_FULL',
    })
    open()
    await drained(log, group)
    expect(await statusOf(log, group)).toMatchObject({ checkpoint: '0:1-3', pending: 0 })
    expect(events.of('lost')).toEqual([])
  })

  it('leases are renewed, handed over and taken over', async () => {
    const first = await start()
    await appendEach(log, [1])
    await drained(log, group)
    await fill()
    const expires = async () =>
      Number(await client.hget(`headwater:{${log.namespace}:0}:group:${group}`, 'expires'))
    const before = await expires()
    await eventually(async () => expect(await expires()).toBeGreaterThan(before))
    const second = await start()
    await first.stop()
    await eventually(async () => expect((await statusOf(log, group)).owner).toBe(second.name))
  })

  it('a worker that starts gets to work, members included', async () => {
    const first = await start()
    await first.stop()
    await appendEach(log, [1, 2, 3])
    await fill()
    await start()
    await drained(log, group)
    expect(sink.offered()).toEqual([1, 2, 3])
  })

  it('changes that the sink rejects are parked', async () => {
    sink.answer = ({ changes }) => {
      if (!changes.some(({ value }) => (value as Note).content === 2)) return undefined
      throw new HeadwaterError('SINK_REJECTED', 'It cannot hold this.')
    }
    const first = await start()
    await first.stop()
    await appendEach(log, [1, 2, 3])
    await log.append(notes.put({ id: 'chair', content: 1 }))
    await fill()
    await start()
    await drained(log, group)
    expect(await statusOf(log, group)).toMatchObject({ parked: 1, checkpoint: '0:1-4' })
    expect(sink.entries().get('chair')).toMatchObject({ content: 1 })
  })
})
