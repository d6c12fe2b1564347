import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { notes, type Note } from '@headwater/conformance'
import {
  archive,
  directoryArchive,
  memorySink,
  startWorker,
  verifyArchive,
  type Change,
  type Worker,
  type WorkerEvent,
} from '@headwater/core'
import { afterEach, describe, expect, it } from 'vitest'
import { everyLine, headwater, type Ended } from '../cli/headwater.ts'
import { eventSink } from '../support/event-sink.ts'
import { eventually } from '../support/eventually.ts'
import { client, log, openOwnLog, server } from '../worker/own-log.ts'
import { drained, partitionKeys } from '../worker/test-log.ts'
import { forgedBatch } from './forged-batch.ts'

const group = 'copy'
const megabyte = 1_000_000
let worker: Worker | undefined

openOwnLog()

afterEach(async () => {
  await worker?.stop()
  worker = undefined
  await client.flushall()
})

const append = (id: string, content: Note['content'] = 1) => log.append(notes.put({ id, content }))
const call = (...args: string[]): Promise<Ended> =>
  headwater([...args, '--redis', server.url, '--namespace', log.namespace, '--json'])

/** One more entry of the log. */
async function forge(fields: Readonly<Record<string, string | Buffer>>): Promise<void> {
  const { log: stream, header } = partitionKeys(log, group)
  const id = `1-${Number(await client.hget(header, 'sequence')) + 1}`
  await client.call('XADD', stream, id, ...forgedBatch(id, fields))
  await client.hincrby(header, 'sequence', 1)
}

describe('an entry of 60 MB', () => {
  it.each<[string, () => Record<string, string>]>([
    ['in a field that nobody knows', () => ({ other: 'x'.repeat(60 * megabyte) })],
    ['in a value', () => ({ payloads: `{"content":"${'x'.repeat(60 * megabyte)}","id":"forged"}` })],
  ])('is taken by workers, readers, feeds and the archive: %s', async (_, fields) => {
    const folder = await mkdtemp(join(tmpdir(), 'archive-'))
    const store = directoryArchive(folder)
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    const followed: string[] = []
    const feed = log.feed(notes, { from: 'snapshot' })
    const following = (async () => {
      for await (const { key } of feed) followed.push(key)
    })()
    await feed.live
    await append('lamp')
    await forge(fields())
    await append('desk')
    await drained(log, group)
    expect([...sink.entries().keys()]).toEqual(['lamp', 'forged', 'desk'])
    await eventually(() => expect(followed).toEqual(['lamp', 'forged', 'desk']))
    feed.close()
    await following
    const read: Change[] = []
    for await (const change of log.read(0, 'beginning')) read.push(change)
    expect(read.map(({ key }) => key)).toEqual(['lamp', 'forged', 'desk'])
    await archive(log, store)
    expect(await verifyArchive(log, store)).toMatchObject([{ changes: 3, last: 3 }])
    expect(worker.health().live).toBe(true)
    await rm(folder, { recursive: true })
  })

  it('is shown by the command line', async () => {
    await append('lamp')
    await forge({ payloads: `{"content":"${'x'.repeat(60 * megabyte)}","id":"forged"}` })
    const tail = await call('tail', '--from', 'beginning', '--no-follow')
    expect(everyLine<Change>(tail).map(({ key }) => key)).toEqual(['lamp', 'forged'])
    const history = await call('history', 'notes', 'forged')
    expect(everyLine<Change>(history).map(({ key }) => key)).toEqual(['forged'])
  })

  it('that cannot be decoded is parked byte by byte, and shown', async () => {
    const events: WorkerEvent[] = []
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink }, onEvent: (event) => events.push(event) })
    await append('lamp')
    await forge({ versions: 'x'.repeat(60 * megabyte) })
    await append('desk')
    await drained(log, group)
    expect([...sink.entries().keys()]).toEqual(['lamp', 'desk'])
    const [parked] = await log.parking(group).list()
    expect(parked).toMatchObject({ reason: 'CHANGE_UNREADABLE', entry: '0:1-2' })
    const shown = await call('parked', 'show', group, '--entry', '0:1-2')
    expect([shown.ending, shown.stdout.length > 60 * megabyte]).toEqual([0, true])
    const refusal = events.find((event) => event.kind === 'parked')
    expect(refusal!.error.message.length).toBeLessThan(1_024)
  })
})

describe('an entry of a megabyte that cannot be decoded', () => {
  it.each(['types', 'operations', 'versions', 'keys', 'first', 'time', 'type-of'])(
    'is told in short: in its %s',
    async (field) => {
      await append('lamp')
      await forge({ [field]: 'x'.repeat(megabyte) })
      const entries = log.read(0, 'beginning')[Symbol.asyncIterator]()
      const refusal = await entries.next().then(
        () => undefined,
        (error: Error) => error,
      )
      expect(refusal).toMatchObject({ code: 'LOG_DAMAGED' })
      expect(refusal!.message.length).toBeLessThan(1_024)
    },
  )
})

describe('ten thousand changes of one key in one millisecond', () => {
  const count = 10_000
  /** Which of them is the first that is not where it belongs. */
  const misplaced = (versions: readonly string[]): number =>
    Array.from({ length: count + 1 }).findIndex(
      (_, index) => versions[index] !== (index < count ? `${index + 1}` : undefined),
    )

  it('are appended, stored and applied in the order of the calls', async () => {
    const sink = eventSink(notes)
    worker = await startWorker(log, { groups: { [group]: sink } })
    const appends = Array.from({ length: count }, (_, content) => append('lamp', content))
    expect(misplaced((await Promise.all(appends)).map(({ version }) => version))).toBe(-1)
    await drained(log, group, 20_000)
    expect(misplaced(sink.taken.map(({ version }) => version))).toBe(-1)
    expect(misplaced(sink.taken.map(({ value }) => `${Number((value as Note).content) + 1}`))).toBe(-1)
  })

  it('keep their order where each is an entry, and all say the same time', async () => {
    const sink = eventSink(notes)
    const { log: stream, header } = partitionKeys(log, group)
    await append('desk')
    const entries = client.pipeline()
    for (let version = 1; version <= count; version++) {
      const id = `1-${version + 1}`
      const payloads = `{"content":${version},"id":"lamp"}`
      entries.call(
        'XADD',
        stream,
        id,
        ...(forgedBatch(id, { keys: 'lamp', versions: `${version}`, payloads }) as string[]),
      )
    }
    entries.hset(header, 'sequence', count + 1)
    await entries.exec()
    worker = await startWorker(log, { groups: { [group]: sink } })
    await drained(log, group, 20_000)
    const taken = sink.taken.filter(({ key }) => key === 'lamp')
    expect(new Set(taken.map(({ time }) => time)).size).toBe(1)
    expect(misplaced(taken.map(({ version }) => version))).toBe(-1)
    const past: string[] = []
    for await (const { version } of log.history(notes, 'lamp')) past.push(version)
    expect(misplaced(past)).toBe(-1)
  })
})
