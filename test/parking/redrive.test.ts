import { notes, type Note } from '@headwater/conformance'
import type { AppendResult, GroupOptions } from '@headwater/core'
import { beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, events, follow, log, openFollowedLog, sink } from '../worker/followed-log.ts'
import { drained, partitionKeys, statusOf } from '../worker/test-log.ts'
import { chooseBy, type Taste } from './choosy-sink.ts'

const group = 'copy'
openFollowedLog()
let taste: Taste
beforeEach(() => {
  taste = { dislikes: (content) => content === 'poison' }
  chooseBy(sink, taste)
})

const start = (options: Partial<GroupOptions> = {}) =>
  follow(options, { leaseMs: 2_000, retry: { firstMs: 1, maxMs: 10 } })

const put = (id: string, content: Note['content']): Promise<AppendResult> =>
  log.append(notes.put({ id, content }))

const contents = (): Record<string, unknown> =>
  Object.fromEntries([...sink.entries().values()].map(({ id, content }) => [id, content]))

/** What of a key reached the sink and was taken, in order. */
const offered = (key: string): unknown[] =>
  sink.calls.flatMap(({ changes }) =>
    changes.filter((change) => change.key === key).map(({ value }) => (value as Note | undefined)?.content),
  )

const lamp = { collection: 'notes', key: 'lamp' }

describe('what is parked', () => {
  it('is listed with the reason, the age and how much waits, the longest parked first', async () => {
    await start()
    await put('lamp', 'poison')
    await put('lamp', 2)
    await drained(log, group)
    await put('desk', 'poison')
    await drained(log, group)
    const [first, second, ...rest] = await log.parking(group).list()
    expect(rest).toEqual([])
    expect(first).toMatchObject({
      group,
      partition: 0,
      collection: 'notes',
      key: 'lamp',
      reason: 'SINK_REJECTED',
      message: 'It cannot hold that.',
      changes: 2,
      first: '0:1-1',
      last: '0:1-2',
      redriving: false,
      refused: 0,
    })
    expect(second).toMatchObject({ key: 'desk', changes: 1 })
    expect(first!.ageMs).toBeGreaterThanOrEqual(second!.ageMs)
    expect(Math.abs(first!.since - Date.now())).toBeLessThan(60_000)
  })

  it('is found by collection, key, reason, age and partition', async () => {
    await start()
    for (const id of ['lamp', 'desk']) await put(id, 'poison')
    await drained(log, group)
    const parking = log.parking(group)
    const keys = async (filter: Parameters<typeof parking.list>[0]) =>
      (await parking.list(filter)).map(({ key }) => key).toSorted()
    expect(await keys({ key: 'desk' })).toEqual(['desk'])
    expect(await keys(lamp)).toEqual(['lamp'])
    expect(await keys({ collection: 'others' })).toEqual([])
    expect(await keys({ reason: 'SINK_REJECTED', partition: 0 })).toEqual(['desk', 'lamp'])
    expect(await keys({ reason: 'WORKER_DIED' })).toEqual([])
    expect(await keys({ partition: 7 })).toEqual([])
    expect(await keys({ minAgeMs: 3_600_000 })).toEqual([])
  })

  it('is shown whole', async () => {
    await start()
    await log.append(notes.put({ id: 'lamp', content: 'poison' }), { metadata: { by: 'me' } })
    await log.append(notes.delete('lamp'))
    await drained(log, group)
    const { contents: changes, ...entry } = await log.parking(group).show(lamp)
    expect(entry).toMatchObject({ key: 'lamp', changes: 2 })
    expect(changes).toMatchObject([
      {
        position: '0:1-1',
        version: '1',
        kind: 'put',
        value: { id: 'lamp', content: 'poison' },
        payload: '{"content":"poison","id":"lamp"}',
        metadata: { by: 'me' },
      },
      { position: '0:1-2', version: '2', kind: 'delete', value: undefined, payload: '', metadata: {} },
    ])
    await expect(log.parking(group).show({ ...lamp, key: 'desk' })).rejects.toMatchObject({
      code: 'PARKED_UNKNOWN',
    })
  })
})

describe('a parked key that is fed back', () => {
  it('goes to the sink in order, and what is appended later goes there by itself again', async () => {
    await start({ coalesce: false })
    for (const content of ['poison', 1, 2]) await put('lamp', content)
    await drained(log, group)
    taste.dislikes = () => false
    const report = await log.parking(group).retry(lamp)
    expect(report).toMatchObject({ selected: 1, redriven: 1, changes: 3, refused: [], waiting: [] })
    expect(await log.parking(group).list()).toEqual([])
    expect(await client.xlen(partitionKeys(log, group).parked)).toBe(0)
    expect(contents()).toEqual({ lamp: 2 })
    const { position } = await put('lamp', 3)
    expect(await log.whenApplied(position, { group })).toBe('applied')
    expect(contents()).toEqual({ lamp: 3 })
    expect(await events.first('redriven')).toMatchObject({ key: 'lamp', changes: 3 })
    expect((await statusOf(log, group)).parked).toBe(0)
  })

  it('stays parked with the new reason where the sink still rejects it, and nothing of it is applied', async () => {
    await start()
    await put('lamp', 'poison')
    await put('desk', 1)
    await drained(log, group)
    const report = await log.parking(group).retry(lamp)
    expect(report).toMatchObject({
      redriven: 0,
      refused: [{ key: 'lamp', reason: 'SINK_REJECTED', refused: 1 }],
    })
    expect((await log.parking(group).list()).map(({ key }) => key)).toEqual(['lamp'])
    await put('lamp', 2)
    await drained(log, group)
    expect(contents()).toEqual({ desk: 1 })
    expect((await log.parking(group).show(lamp)).contents).toHaveLength(2)
  })

  it('is put right by a newer value that stands behind the bad one', async () => {
    await start({ coalesce: false })
    await put('lamp', 'poison')
    await put('lamp', 2)
    await drained(log, group)
    expect(await log.parking(group).retry(lamp)).toMatchObject({ redriven: 1 })
    expect(contents()).toEqual({ lamp: 2 })
  })

  it('is fed up to the change that is rejected, and stays parked from there', async () => {
    await start({ coalesce: false })
    for (const content of ['poison', 1, 2, 'venom']) await put('lamp', content)
    await drained(log, group)
    taste.dislikes = (content) => content === 'venom'
    expect(await log.parking(group).retry(lamp)).toMatchObject({ refused: [{ first: '0:1-4', changes: 1 }] })
    expect(contents()).toEqual({ lamp: 2 })
    expect(await log.parking(group).list()).toMatchObject([{ key: 'lamp', changes: 1, first: '0:1-4' }])
    expect(await log.whenApplied((await positions())[1]!, { group })).toBe('superseded')
    expect(await log.whenApplied((await positions())[3]!, { group })).toBe('parked')
  })

  it('keeps the order of its key while the application goes on changing it', async () => {
    await start({ coalesce: false })
    await put('lamp', 'poison')
    await drained(log, group)
    taste.dislikes = () => false
    const writer = new AbortController()
    const writing = (async () => {
      let content = 0
      while (!writer.signal.aborted) await put('lamp', ++content)
      return content
    })()
    await eventually(async () => expect((await log.parking(group).list())[0]?.changes).toBeGreaterThan(20))
    await log.parking(group).retry(lamp)
    await events.first('redriven')
    writer.abort()
    const last = await writing
    await drained(log, group)
    await eventually(() => expect(contents()).toEqual({ lamp: last }))
    const numbers = offered('lamp').filter((content): content is number => typeof content === 'number')
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
    expect(new Set(numbers).size).toBe(numbers.length)
  })

  it('waits for a sink that is away, and loses nothing', async () => {
    await start()
    await put('lamp', 'poison')
    await drained(log, group)
    taste.dislikes = () => false
    const { answer } = sink
    let failures = 0
    sink.answer = (call) => {
      if (++failures < 5) throw new Error('gone fishing')
      return answer(call)
    }
    expect(await log.parking(group).retry(lamp)).toMatchObject({ redriven: 1 })
    expect(failures).toBe(5)
    expect(contents()).toEqual({ lamp: 'poison' })
  })

  it('is done by the next worker where none runs', async () => {
    const worker = await start()
    await put('lamp', 'poison')
    await drained(log, group)
    await worker[Symbol.asyncDispose]()
    taste.dislikes = () => false
    const report = await log.parking(group).retry(lamp, { timeoutMs: 100 })
    expect(report).toMatchObject({ redriven: 0, waiting: [{ key: 'lamp' }] })
    expect(await log.parking(group).list()).toMatchObject([{ key: 'lamp', redriving: true }])
    await start()
    await events.first('redriven')
    expect(contents()).toEqual({ lamp: 'poison' })
  })
})

describe('feeding back many', () => {
  beforeEach(async () => {
    await start()
    for (let at = 0; at < 30; at++) await put(`note-${at}`, 'poison')
    await drained(log, group)
    taste.dislikes = (_, key) => key === 'note-7'
  })

  it('feeds all back but those that are still rejected, and names these', async () => {
    const seen: number[] = []
    const report = await log.parking(group).redrive({ onProgress: (done) => seen.push(done) })
    expect(report).toMatchObject({
      selected: 30,
      redriven: 29,
      changes: 29,
      refused: [{ key: 'note-7' }],
      waiting: [],
    })
    expect(seen.at(-1)).toBe(30)
    expect(Object.keys(contents())).toHaveLength(29)
    expect((await log.parking(group).list()).map(({ key }) => key)).toEqual(['note-7'])
  })

  it('only says what it would do in a dry run', async () => {
    const before = sink.calls.length
    const report = await log.parking(group).redrive({ dryRun: true })
    expect(report).toMatchObject({ dryRun: true, selected: 30, redriven: 0, changes: 30 })
    expect(report.planned).toHaveLength(30)
    expect(await log.parking(group).list()).toHaveLength(30)
    expect(sink.calls).toHaveLength(before)
  })

  it('keeps to its rate', async () => {
    const began = performance.now()
    const report = await log.parking(group).redrive({ changesPerSecond: 25 })
    expect(report.redriven).toBe(29)
    // The first goes at once, the others a 25th of a second apart.
    expect(performance.now() - began).toBeGreaterThan(1_000)
  })

  it('takes back what is not on its way yet when it is aborted', async () => {
    const controller = new AbortController()
    const redrive = log.parking(group).redrive({
      changesPerSecond: 10,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    })
    await expect(redrive).rejects.toThrow('enough')
    const left = await log.parking(group).list()
    expect(left.length).toBeGreaterThan(20)
    expect(left.filter(({ redriving }) => redriving)).toEqual([])
    expect(await log.parking(group).redrive()).toMatchObject({ selected: left.length })
  })

  it('refuses a rate that is none', async () => {
    await expect(log.parking(group).redrive({ changesPerSecond: 0 })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
    })
  })
})

describe('a value that is corrected', () => {
  it('becomes the next version of the key, and goes to the sink in place of the bad one', async () => {
    await start()
    await put('lamp', 'poison')
    await drained(log, group)
    const edited = await log.parking(group).edit(notes, { id: 'lamp', content: 'antidote' })
    expect(edited).toMatchObject({ version: '2', redrive: { redriven: 1 } })
    expect(contents()).toEqual({ lamp: 'antidote' })
    expect((await log.get(notes, 'lamp'))?.value.content).toBe('antidote')
    expect(await log.parking(group).list()).toEqual([])
  })

  it('does not go over what somebody else has changed since', async () => {
    const worker = await start()
    const { version } = await put('lamp', 'poison')
    await drained(log, group)
    await worker[Symbol.asyncDispose]()
    await put('lamp', 2)
    const edit = log.parking(group).edit(notes, { id: 'lamp', content: 3 }, { expected: version })
    await expect(edit).rejects.toMatchObject({ code: 'VERSION_CONFLICT' })
    expect((await log.get(notes, 'lamp'))?.value.content).toBe(2)
    expect(await log.parking(group).list()).toMatchObject([{ key: 'lamp', redriving: false }])
  })

  it('is refused for a key that is not parked, and appends nothing', async () => {
    await start()
    const edit = log.parking(group).edit(notes, { id: 'lamp', content: 3 })
    await expect(edit).rejects.toMatchObject({ code: 'PARKED_UNKNOWN' })
    expect(await log.get(notes, 'lamp')).toBeUndefined()
  })
})

describe('changes that are given up', () => {
  it('are passed over one at a time by skip, and the key is fed back without them', async () => {
    await start({ coalesce: false })
    const bad = await put('lamp', 'poison')
    await put('lamp', 2)
    await drained(log, group)
    const parking = log.parking(group)
    const other = parking.skip(lamp, { position: (await positions())[1]! })
    await expect(other).rejects.toMatchObject({ code: 'PARKED_UNKNOWN' })
    expect(await parking.skip(lamp, { position: bad.position })).toEqual({ left: 1 })
    expect(await parking.retry(lamp)).toMatchObject({ redriven: 1, changes: 1 })
    expect(contents()).toEqual({ lamp: 2 })
    expect(offered('lamp')).toEqual(['poison', 2])
    expect(await log.whenApplied(bad.position, { group })).toBe('dropped')
  })

  it('are all dropped, and what comes next goes to the sink', async () => {
    await start()
    const results = [await put('lamp', 'poison'), await put('lamp', 2), await put('desk', 'poison')]
    await drained(log, group)
    const parking = log.parking(group)
    await expect(parking.drop({})).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    expect(await parking.drop({ key: 'lamp', dryRun: true })).toEqual({ dryRun: true, keys: 1, changes: 2 })
    expect(await parking.list()).toHaveLength(2)
    expect(await parking.drop({ key: 'lamp' })).toEqual({ dryRun: false, keys: 1, changes: 2 })
    expect((await parking.list()).map(({ key }) => key)).toEqual(['desk'])
    for (const { position } of results.slice(0, 2))
      expect(await log.whenApplied(position, { group })).toBe('dropped')
    const { position } = await put('lamp', 3)
    expect(await log.whenApplied(position, { group })).toBe('applied')
    expect(contents()).toEqual({ lamp: 3 })
    expect(await parking.drop({ all: true })).toMatchObject({ keys: 1 })
    expect(await client.xlen(partitionKeys(log, group).parked)).toBe(0)
  })

  it('do not come back with a worker that begins below them', async () => {
    const worker = await start()
    await put('lamp', 'poison')
    await put('lamp', 2)
    await drained(log, group)
    await worker[Symbol.asyncDispose]()
    await log.parking(group).drop(lamp)
    // As if its last commit had never arrived.
    await client.hset(partitionKeys(log, group).group, 'checkpoint', '0-0', 'saved', '0-0')
    await put('lamp', 3)
    sink.calls.length = 0
    await start({ coalesce: false })
    await drained(log, group)
    expect(offered('lamp')).toEqual([3])
    expect(await log.parking(group).list()).toEqual([])
  })
})

/** Of all changes in the log, in order. */
async function positions(): Promise<AppendResult['position'][]> {
  const found: AppendResult['position'][] = []
  for await (const { position } of log.read(0)) found.push(position)
  return found
}
