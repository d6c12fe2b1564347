import { notes, type Note } from '@headwater/conformance'
import { applied, HeadwaterError, reject, retry, type AppendResult, type GroupOptions } from '@headwater/core'
import { beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { events, follow, log, openFollowedLog, sink, worker } from '../worker/followed-log.ts'
import { drained, statusOf } from '../worker/test-log.ts'

const group = 'copy'
openFollowedLog()

const start = (options: Partial<GroupOptions> = {}) =>
  follow(options, { retry: { firstMs: 1, maxMs: 4 }, leaseMs: 2_000 })

const put = (id: string, content: Note['content']): Promise<AppendResult> =>
  log.append(notes.put({ id, content }))

const busy = new HeadwaterError('SINK_UNAVAILABLE', 'Busy with something else.')

describe('a key that the sink cannot take for now, again and again', () => {
  it('is parked when its attempts are used up, while the others go on', async () => {
    let attempts = 0
    sink.answer = ({ changes }) => {
      if (!changes.some(({ key }) => key === 'lamp')) return undefined
      attempts++
      return changes.map(({ key }) => (key === 'lamp' ? retry(busy) : applied))
    }
    await start({ attemptsMax: 5 })
    await put('lamp', 1)
    for (let at = 0; at < 200 && (await log.parking(group).list()).length === 0; at++)
      await put(`note-${at}`, at)
    expect(await log.parking(group).list()).toMatchObject([{ key: 'lamp', reason: 'ATTEMPTS_EXHAUSTED' }])
    expect(attempts).toBeGreaterThanOrEqual(5)
    await drained(log, group)
  })

  it('is parked although each time a newer change of it was tried', async () => {
    let newest = 0
    const tried = new Set<unknown>()
    sink.answer = async ({ changes }) => {
      const lamp = changes.find(({ key }) => key === 'lamp')
      if (!lamp) return undefined
      tried.add((lamp.value as Note).content)
      await put('lamp', ++newest)
      return changes.map(({ key }) => (key === 'lamp' ? retry(busy) : applied))
    }
    await start({ attemptsMax: 4 })
    await put('lamp', newest)
    for (let at = 0; at < 200 && (await log.parking(group).list()).length === 0; at++)
      await put(`note-${at}`, at)
    expect(await log.parking(group).list()).toMatchObject([{ key: 'lamp', reason: 'ATTEMPTS_EXHAUSTED' }])
    expect(tried.size).toBeGreaterThan(1)
  })

  it('is found among others when it makes the whole call fail, and fails only itself', async () => {
    sink.answer = ({ changes }) => {
      if (changes.some(({ key }) => key === 'note-13'))
        throw new TypeError('Cannot read properties of undefined')
      return undefined
    }
    await Promise.all(Array.from({ length: 40 }, (_, at) => put(`note-${at}`, at)))
    await start({ attemptsMax: 3 })
    for (let at = 0; at < 300 && (await log.parking(group).list()).length === 0; at++) await put('other', at)
    await drained(log, group)
    expect(await log.parking(group).list()).toMatchObject([{ key: 'note-13', reason: 'ATTEMPTS_EXHAUSTED' }])
    expect(sink.entries().size).toBe(40)
  })
})

describe('a sink that is away', () => {
  it('uses up no attempts of any key', async () => {
    let calls = 0
    sink.answer = ({ changes }) => {
      calls++
      if (calls <= 60) {
        if (calls % 2 === 0) throw new Error('connection refused')
        return changes.map(() => retry(busy))
      }
      return undefined
    }
    await start({ attemptsMax: 3 })
    await Promise.all(Array.from({ length: 20 }, (_, at) => put(`note-${at}`, at)))
    await drained(log, group, 20_000)
    expect(calls).toBeGreaterThan(60)
    expect(await log.parking(group).list()).toEqual([])
    expect(sink.entries().size).toBe(20)
  })
})

describe('a partition that has parked as much as it may', () => {
  const refusal = new HeadwaterError('SINK_REJECTED', 'Not this.')

  beforeEach(() => {
    sink.answer = ({ changes }) =>
      changes.every(({ value }) => (value as Note).content === 'good')
        ? undefined
        : changes.map(() => reject(refusal))
  })

  it('stands still and says so when there are too many keys, and goes on when there is room', async () => {
    await start({ parking: { keys: 3 } })
    for (let at = 0; at < 4; at++) await put(`note-${at}`, 'bad')
    const { error } = await events.first('standstill')
    expect(error).toMatchObject({
      code: 'PARKING_FULL',
      message: expect.stringContaining('3 keys') as string,
    })
    const { position } = await put('lamp', 'good')
    await eventually(async () => expect((await statusOf(log, group)).standstill).toContain('3 keys'))
    await eventually(() => expect(worker!.health().groups[group]).toMatchObject({ ready: false }))
    expect(worker!.health().groups[group]!.standstill[0]).toContain('3 keys')
    expect(await statusOf(log, group)).toMatchObject({ parked: 3 })
    expect(sink.entries().size).toBe(0)

    await log.parking(group).drop({ collection: 'notes', key: 'note-0' })
    await events.first('going-on')
    expect(await log.whenApplied(position, { group })).toBe('applied')
    expect((await log.parking(group).list()).map(({ key }) => key)).toEqual(['note-1', 'note-2', 'note-3'])
    expect((await statusOf(log, group)).standstill).toBeUndefined()
    await eventually(() =>
      expect(worker!.health().groups[group]).toMatchObject({ ready: true, standstill: {} }),
    )
  })

  it('does so too when too much waits behind one key, also with the next worker, and loses nothing', async () => {
    await start({ parking: { changesOfKey: 3 }, coalesce: false })
    for (let at = 0; at < 6; at++) await put('lamp', at)
    await events.first('standstill')
    await worker!.stop()
    events.all.length = 0
    await start({ parking: { changesOfKey: 3 }, coalesce: false })
    await events.first('standstill')
    expect(await log.parking(group).list()).toMatchObject([{ key: 'lamp', changes: 3 }])
    sink.answer = () => undefined
    // Feeding back makes the room, and what stands before the door comes in behind it.
    await eventually(async () => {
      await log.parking(group).redrive({ timeoutMs: 500 })
      expect(await log.parking(group).list()).toEqual([])
      expect((await statusOf(log, group)).lag).toBe(0)
    })
    expect(sink.entries().get('lamp')).toEqual({ id: 'lamp', content: 5 })
  })
})
