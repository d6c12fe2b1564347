import { notes, type Note } from '@headwater/conformance'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, events, follow, log, openFollowedLog, sink, worker } from '../worker/followed-log.ts'
import { drained, partitionKeys, statusOf } from '../worker/test-log.ts'

const group = 'copy'
openFollowedLog()

const start = () => follow({ coalesce: false })

const append = (id: string, content: Note['content']) => log.append(notes.put({ id, content }))

/** Appends a batch of several changes at once, so that IDs between are free. */
const appendTogether = (...ids: string[]) => log.append(ids.map((id) => notes.put({ id, content: 1 })))

const stream = () => partitionKeys(log, group).log

/** Puts other fields in the place of an entry's, under the same ID. */
async function overwrite(id: string, change: (fields: string[]) => (string | Buffer)[]): Promise<void> {
  const entries = await client.xrange(stream(), '-', '+')
  const copy = `${stream()}:copy`
  for (const [each, fields] of entries) {
    await client.call('XADD', copy, each, ...(each === id ? change(fields) : fields))
  }
  await client.rename(copy, stream())
  // The group lives in the stream: it is made again where the worker stood.
}

describe('an entry that somebody else put into the log', () => {
  it.each([
    ['while the worker waits', true],
    ['before it comes', false],
  ])(
    'is parked with every byte of it and stops nothing, when it breaks no sequence: %s',
    async (_, running) => {
      if (running) await start()
      await append('lamp', 1)
      if (running) await drained(log, group)
      const bytes = Buffer.from([0, 255, 10, 13, 128])
      await client.xadd(stream(), '1-3', 'hello', 'there', 'hello', bytes, '', '')
      const { position } = (await appendTogether('desk', 'chair', 'shelf', 'sofa'))[3]!
      if (!running) await start()
      expect(await log.whenApplied(position, { group })).toBe('applied')
      await drained(log, group)
      expect(sink.offered().toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5])
      const [entry, ...rest] = await log.parking(group).list()
      expect(rest).toEqual([])
      expect(entry).toMatchObject({ collection: '', key: '', entry: '0:1-3', reason: 'CHANGE_UNREADABLE' })
      expect(entry!.message).toContain('is no batch of ours')
      const { raw } = await log.parking(group).show({ entry: '0:1-3' })
      expect(raw).toEqual(['hello', 'there', 'hello', bytes, '', ''].map((text) => Buffer.from(text)))
      expect(await statusOf(log, group)).toMatchObject({ parked: 1, damage: undefined })
    },
  )

  it('is given up for good, also for a worker that meets it again', async () => {
    await start()
    await append('lamp', 1)
    await drained(log, group)
    await client.xadd(stream(), '1-3', 'hello', 'there')
    await eventually(async () => expect(await log.parking(group).list()).toHaveLength(1))
    expect(await log.parking(group).redrive()).toMatchObject({ refused: [{ entry: '0:1-3' }] })
    expect(await log.parking(group).drop({ entry: '0:1-3' })).toMatchObject({ keys: 1 })
    await worker!.stop()
    await client.hset(partitionKeys(log, group).group, 'checkpoint', '0-0', 'saved', '0-0')
    await start()
    await appendTogether('desk', 'chair', 'shelf')
    await drained(log, group)
    expect(await log.parking(group).list()).toEqual([])
  })

  it('may come in any number', async () => {
    await append('lamp', 1)
    for (let at = 2; at < 200; at++) await client.xadd(stream(), `1-${at}`, 'n', String(at))
    await appendTogether(...Array.from({ length: 300 }, (_, at) => `note-${at}`))
    await start()
    await drained(log, group)
    expect(sink.entries().size).toBe(301)
    expect(await log.parking(group).list()).toHaveLength(198)
  })
})

describe('a batch of ours that cannot be decoded any more', () => {
  it('is parked for what it held, and the log goes on behind it', async () => {
    await append('lamp', 1)
    const { position } = (await appendTogether('desk', 'chair'))[0]!
    await append('lamp', 2)
    await overwrite('1-3', (fields) => fields.map((text) => (text === 'versions' ? 'wersions' : text)))
    await start()
    await drained(log, group)
    expect(sink.offered()).toEqual([1, 4])
    expect(await log.parking(group).list()).toMatchObject([{ entry: '0:1-3', last: '0:1-3' }])
    expect(await log.whenApplied(position, { group })).toBe('parked')
    expect((await statusOf(log, group)).checkpoint).toBe('0:1-4')
    await log.parking(group).drop({ all: true })
    expect(await log.whenApplied(position, { group })).toBe('dropped')
  })

  it('is damage where changes are missing that it cannot have held', async () => {
    await append('lamp', 1)
    await append('lamp', 2)
    await append('lamp', 3)
    await overwrite('1-2', () => ['hello', 'there'])
    await client.xdel(stream(), '1-3')
    await append('lamp', 4)
    await start()
    const { error } = await events.first('damaged')
    expect(error.code).toBe('LOG_DAMAGED')
    expect(sink.offered()).toEqual([1])
  })
})

describe('a payload that is no JSON', () => {
  it('parks its key alone, with the bytes of the batch', async () => {
    await appendTogether('lamp', 'desk', 'chair')
    const bytes = Buffer.from(
      '{"content":1,"id":"lamp"}\n{"content":\xff\n{"content":1,"id":"chair"}',
      'latin1',
    )
    await overwrite('1-3', (fields) =>
      fields.map((text, at) => (fields[at - 1] === 'payloads' ? bytes : text) as string),
    )
    await start()
    // The memory sink looks at no value by itself.
    sink.answer = ({ changes }) => {
      for (const { value } of changes) void value
      return undefined
    }
    await append('desk', 2)
    await drained(log, group)
    expect([...sink.entries().keys()].toSorted()).toEqual(['chair', 'lamp'])
    expect(await log.parking(group).list()).toMatchObject([
      { key: 'desk', reason: 'CHANGE_UNREADABLE', changes: 2 },
    ])
    const { raw, contents } = await log.parking(group).show({ collection: 'notes', key: 'desk' })
    expect(contents).toMatchObject([{ value: undefined }, { value: { content: 2 } }])
    expect(raw!.some((part) => part.equals(bytes))).toBe(true)
    // The newer value puts it right.
    expect(await log.parking(group).redrive()).toMatchObject({ redriven: 1 })
    expect(sink.entries().get('desk')).toEqual({ id: 'desk', content: 2 })
  })
})
