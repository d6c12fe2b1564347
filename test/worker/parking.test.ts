import { notes, type Note } from '@headwater/conformance'
import { HeadwaterError, reject, type GroupOptions, type Outcome } from '@headwater/core'
import { beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, events, follow, log, openFollowedLog, sink } from './followed-log.ts'
import { drained, partitionKeys, statusOf } from './test-log.ts'
import type { WatchedSink } from './watched-sink.ts'

const group = 'copy'
openFollowedLog()
beforeEach(() => refusePoison(sink))

/** The sink rejects every note whose content is `poison`, and holds back its answers until `gate` opens. */
function refusePoison(sink: WatchedSink, gate: Promise<void> = Promise.resolve()): void {
  sink.answer = async ({ changes }) => {
    await gate
    if (!changes.some(({ value }) => (value as Note | undefined)?.content === 'poison')) return undefined
    const error = new HeadwaterError('SINK_REJECTED', 'It cannot hold poison.')
    // One at a time, so that the memory sink answers for the others.
    if (changes.length > 1) throw error
    return [reject(error)] satisfies Outcome[]
  }
}

const start = (options: Partial<GroupOptions> = {}) => follow(options)

const put = (id: string, content: number | string) => log.append(notes.put({ id, content }))

/** What is parked, in the order of its parking. */
async function parked(): Promise<{ key: string; sequence: number; content: unknown; reason: string }[]> {
  const entries = await client.xrange(partitionKeys(log, group).parked, '-', '+')
  return entries.map(([, fields]) => {
    const of = Object.fromEntries(
      Array.from({ length: fields.length / 2 }, (_, at) => [fields[at * 2], fields[at * 2 + 1]]),
    ) as Record<string, string>
    const { key, stamp, payload } = JSON.parse(of['change']!) as {
      key: string
      stamp: { sequence: number }
      payload: string
    }
    const content = payload === '' ? 'deleted' : (JSON.parse(payload) as Note).content
    return { key, sequence: stamp.sequence, content, reason: of['code']! }
  })
}

const contents = () =>
  Object.fromEntries([...sink.entries().values()].map(({ id, content }) => [id, content]))

describe('a change that the sink rejects', () => {
  it('parks its key alone: the others go on, and later changes of the key are set aside behind it, in order', async () => {
    await start({ coalesce: false })
    await put('lamp', 1)
    await put('lamp', 'poison')
    await put('chair', 1)
    await put('lamp', 2)
    await put('chair', 2)
    await log.append(notes.delete('lamp'))
    await put('lamp', 3)
    await put('table', 1)
    await drained(log, group)
    expect(contents()).toEqual({ lamp: 1, chair: 2, table: 1 })
    expect(await parked()).toEqual([
      { key: 'lamp', sequence: 2, content: 'poison', reason: 'SINK_REJECTED' },
      { key: 'lamp', sequence: 4, content: 2, reason: 'SINK_REJECTED' },
      { key: 'lamp', sequence: 6, content: 'deleted', reason: 'SINK_REJECTED' },
      { key: 'lamp', sequence: 7, content: 3, reason: 'SINK_REJECTED' },
    ])
    expect(await statusOf(log, group)).toMatchObject({ parked: 1, checkpoint: '0:1-8', lag: 0 })
    expect(await events.first('parked')).toMatchObject({ key: 'lamp', error: { code: 'SINK_REJECTED' } })
  })

  it('is found behind newer changes that were to go with it, and hides no good one', async () => {
    let open!: () => void
    refusePoison(sink, new Promise((resolve) => (open = resolve)))
    await start()
    await put('first', 1)
    await eventually(() => expect(sink.calls).toHaveLength(1))
    // These wait together: the sink is offered the newest for all of them.
    for (const content of [1, 2, 'poison']) await put('lamp', content)
    for (const content of [1, 'poison', 3]) await put('chair', content)
    await put('table', 1)
    await eventually(async () => expect((await statusOf(log, group)).pending).toBe(8))
    open()
    await drained(log, group)
    expect(contents()).toEqual({ first: 1, lamp: 2, chair: 3, table: 1 })
    expect(await parked()).toEqual([{ key: 'lamp', sequence: 4, content: 'poison', reason: 'SINK_REJECTED' }])
  })

  it('is parked together with those that waited behind it', async () => {
    let open!: () => void
    refusePoison(sink, new Promise((resolve) => (open = resolve)))
    await start({ coalesce: false })
    for (const content of ['poison', 1, 2]) await put('lamp', content)
    await eventually(async () => expect((await statusOf(log, group)).pending).toBe(3))
    open()
    await drained(log, group)
    expect((await parked()).map(({ content }) => content)).toEqual(['poison', 1, 2])
    expect(contents()).toEqual({})
    // Together, or behind it where the worker had not read them yet.
    expect(events.of('parked').reduce((sum, { changes }) => sum + changes, 0)).toBe(3)
  })

  it('stays parked with the next worker, which sets later changes aside as well', async () => {
    const first = await start()
    await put('lamp', 'poison')
    await drained(log, group)
    await first[Symbol.asyncDispose]()
    await put('lamp', 2)
    await put('chair', 1)
    await start()
    await drained(log, group)
    expect((await parked()).map(({ content }) => content)).toEqual(['poison', 2])
    expect(contents()).toEqual({ chair: 1 })
  })

  it('is parked once, also when the worker dies before it could say so', async () => {
    const first = await start()
    await put('lamp', 'poison')
    await put('lamp', 2)
    await drained(log, group)
    await first[Symbol.asyncDispose]()
    const before = await parked()
    // As if its last commit had never arrived.
    await client.hset(partitionKeys(log, group).group, 'checkpoint', '0-0', 'saved', '0-0')
    await start()
    await put('lamp', 3)
    await drained(log, group)
    expect(await parked()).toEqual([
      ...before,
      { key: 'lamp', sequence: 3, content: 3, reason: 'SINK_REJECTED' },
    ])
  })

  it('delays other keys of its batch by nothing but its own call', async () => {
    await start()
    const ids = Array.from({ length: 50 }, (_, at) => `note-${at}`)
    await Promise.all(ids.map((id, at) => put(id, at === 20 ? 'poison' : at)))
    await drained(log, group)
    expect(sink.entries().size).toBe(49)
    expect((await parked()).map(({ key }) => key)).toEqual(['note-20'])
  })

  it('is kept whole: what parking writes is enough to feed it back', async () => {
    await start()
    await log.append(notes.put({ id: 'nul\0\n"lamp"', content: 'poison' }), { metadata: { by: 'me' } })
    await drained(log, group)
    const [[, fields]] = (await client.xrange(partitionKeys(log, group).parked, '-', '+')) as [
      [string, string[]],
    ]
    const change = JSON.parse(fields[fields.indexOf('change') + 1]!) as unknown
    expect(change).toMatchObject({
      collection: 'notes',
      key: 'nul\0\n"lamp"',
      kind: 'put',
      version: '1',
      stamp: { epoch: 1, sequence: 1 },
      metadata: { by: 'me' },
    })
  })
})
