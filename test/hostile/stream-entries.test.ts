import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { notes, type Note } from '@headwater/conformance'
import {
  archive,
  defineCollection,
  directoryArchive,
  feedHandler,
  memorySink,
  startWorker,
  verify,
  verifyArchive,
  type Change,
  type Difference,
  type Log,
  type Worker,
} from '@headwater/core'
import { z } from 'zod'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { everyLine, headwater } from '../cli/headwater.ts'
import { serveFeed } from '../feed/feed-server.ts'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { drained, openTestLog, partitionKeys } from '../worker/test-log.ts'
import { forgedBatch } from './forged-batch.ts'

const group = 'copy'
let log: Log
let worker: Worker | undefined

startOwnRedis()

beforeEach(async () => {
  log = await openTestLog(server.options)
})

afterEach(async () => {
  await worker?.stop()
  worker = undefined
  await log.close()
})

const stream = () => partitionKeys(log, group).log
const append = (id: string, content: Note['content'] = 1) => log.append(notes.put({ id, content }))
const appendTogether = (...ids: string[]) => log.append(ids.map((id) => notes.put({ id, content: 1 })))

/** A feed, and the keys of what it has given. */
async function follow() {
  const seen: string[] = []
  const feed = log.feed(notes, { from: 'snapshot' })
  const following = (async () => {
    for await (const { key } of feed) seen.push(key)
  })()
  await feed.live
  return { seen, feed, following }
}

/** Does what a refused append says, word by word. */
async function takeAway({ message }: Error): Promise<void> {
  for (const command of /run (XDEL .+) and (XSETID .+)\. \[/.exec(message)!.slice(1)) {
    const [name, ...args] = command.split(' ') as [string, ...string[]]
    await client.call(name, ...args)
  }
}

async function keysRead(): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of log.read(0, 'beginning')) keys.push(key)
  return keys
}

describe('an entry of somebody else', () => {
  it('is passed over by whoever reads the log, as long as nothing is missing around it', async () => {
    await append('lamp')
    await client.xadd(stream(), '1-2', 'hello', 'there')
    await client.xadd(stream(), '1-3', 'first', 'x', 'time', '1')
    await appendTogether('desk', 'chair', 'shelf')
    await append('lamp', 2)
    expect(await keysRead()).toEqual(['lamp', 'desk', 'chair', 'shelf', 'lamp'])
    const past: unknown[] = []
    for await (const { value } of log.history(notes, 'lamp')) past.push((value as Note).content)
    expect(past.toSorted((a, b) => Number(a) - Number(b))).toEqual([1, 2])
  })

  it('is passed over by a feed', async () => {
    const { seen, feed, following } = await follow()
    await append('lamp')
    await eventually(() => expect(seen).toEqual(['lamp']))
    await client.xadd(stream(), '1-2', 'hello', 'there')
    await appendTogether('desk', 'chair')
    await eventually(() => expect(seen).toEqual(['lamp', 'desk', 'chair']))
    feed.close()
    await following
  })

  it('with the first ID that there can be is parked, and the log begins behind it', async () => {
    await client.xadd(stream(), '0-1', 'hello', 'there')
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    await append('lamp')
    await drained(log, group)
    expect([...sink.entries().keys()]).toEqual(['lamp'])
    expect(await log.parking(group).list()).toMatchObject([{ entry: '0:0-1', reason: 'CHANGE_UNREADABLE' }])
    expect(await keysRead()).toEqual(['lamp'])
  })

  it('is left out of the archive', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'archive-'))
    const store = directoryArchive(folder)
    await append('lamp')
    await client.xadd(stream(), '1-2', 'hello', 'there')
    await appendTogether('desk', 'chair')
    await client.xadd(stream(), '1-9', 'hello', 'there')
    await archive(log, store)
    expect(await verifyArchive(log, store)).toMatchObject([{ changes: 3 }])
    await rm(folder, { recursive: true })
  })

  it('does not hide that a batch of ours was damaged: the reader is told which', async () => {
    await append('lamp')
    await append('desk')
    await append('chair')
    await client.xdel(stream(), '1-2')
    const copy = `${stream()}:copy`
    for (const [id, fields] of await client.xrange(stream(), '-', '+')) {
      if (id === '1-3') await client.xadd(copy, '1-2', 'keys', 'broken')
      await client.call('XADD', copy, id, ...fields)
    }
    await client.rename(copy, stream())
    await expect(keysRead()).rejects.toMatchObject({ code: 'LOG_DAMAGED', message: /Entry 1-2 / })
  })

  it('does not hide that the newest batch was damaged', async () => {
    await append('lamp')
    await append('desk')
    await client.del(`${stream()}:copy`)
    const [[id, fields]] = (await client.xrange(stream(), '-', '+')) as [[string, string[]]]
    await client.call('XADD', `${stream()}:copy`, id, ...fields)
    await client.xadd(`${stream()}:copy`, '1-2', 'keys', 'broken')
    await client.rename(`${stream()}:copy`, stream())
    await expect(keysRead()).rejects.toMatchObject({ code: 'LOG_DAMAGED', message: /Entry 1-2 / })
  })

  it('above all stamps blocks appends, which say how it is taken away', async () => {
    await append('lamp')
    await client.xadd(stream(), '*', 'hello', 'there')
    await client.xadd(stream(), '*', 'hello', 'again')
    const before = await client.call('DEBUG', 'DIGEST')
    const refused = (await append('desk').catch((error: unknown) => error)) as Error
    expect(refused).toMatchObject({ code: 'LOG_DAMAGED', retryable: false })
    expect(await client.call('DEBUG', 'DIGEST')).toBe(before)
    await takeAway(refused)
    await append('desk')
    expect(await keysRead()).toEqual(['lamp', 'desk'])
  })

  it('with the last ID that there can be blocks no worker', async () => {
    await append('lamp')
    await client.xadd(stream(), '18446744073709551615-18446744073709551615', 'hello', 'there')
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    await drained(log, group)
    await eventually(async () => expect(await log.parking(group).list()).toHaveLength(1))
    await worker.stop()
    worker = await startWorker(log, { groups: { [group]: sink } })
    await drained(log, group)
    expect([...sink.entries().keys()]).toEqual(['lamp'])
    await expect(append('desk')).rejects.toMatchObject({ code: 'LOG_DAMAGED' })
  })
})

async function forge(id: string, fields: Record<string, string | Buffer>): Promise<void> {
  await client.call('XADD', stream(), id, ...forgedBatch(id, fields))
  await client.hset(partitionKeys(log, group).header, 'sequence', id.split('-')[1]!)
}

const verdicts = (differences: readonly Difference[]): Record<string, string> =>
  Object.fromEntries(differences.map(({ key, verdict }) => [key, verdict]))

describe('a batch that somebody else has written the way we do', () => {
  it.each<[string, Record<string, string | Buffer>]>([
    ['of a type that is none', { types: '__proto__' }],
    ['of a schema version that is none', { types: 'notes@x' }],
    ['with an operation that is none', { operations: 'x' }],
    ['with more operations than changes', { operations: 'pp' }],
    ['of version 0', { versions: '0' }],
    ['of version -1', { versions: '-1' }],
    ['of a version with a fraction', { versions: '1.5' }],
    ['of a version beyond what is exact', { versions: '9007199254740993' }],
    ['of version 2^64', { versions: '18446744073709551616' }],
    ['of a version in another notation', { versions: '1e3' }],
    ['of a version with 16 digits', { versions: '0x10' }],
    ['of a version with zeros before it', { versions: '01' }],
    ['of a version with a zero behind it', { versions: '1.0' }],
    ['of a version with a sign', { versions: '+1' }],
    ['of a version with a blank', { versions: '\t1' }],
    ['of a version that is a word', { versions: 'abc' }],
    ['of no version', { versions: '' }],
    ['of no sequence', { first: '' }],
    ['of more sequences than there are changes', { first: '1' }],
    ['of no time', { time: '' }],
    ['of a time after all times', { time: '9223372036854775807' }],
    ['with ten thousand keys in one', { keys: 'k\n'.repeat(10_000) }],
    ['of a version in other digits', { versions: '٣' }],
    ['of version NaN', { versions: 'NaN' }],
    ['with a time that is none', { time: 'now' }],
    ['that begins behind its end', { first: '9' }],
    ['that begins before 1', { first: '-1' }],
    ['a delete with a payload', { operations: 'd' }],
    ['a put without a payload', { payloads: '' }],
    ['with a type that is not listed', { 'type-of': '7' }],
  ])('is parked as what cannot be decoded: %s', async (_, fields) => {
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    await append('lamp')
    await drained(log, group)
    await forge('1-2', fields)
    await eventually(async () =>
      expect(await log.parking(group).list()).toMatchObject([{ reason: 'CHANGE_UNREADABLE' }]),
    )
    await append('desk')
    await drained(log, group)
    expect([...sink.entries().keys()]).toEqual(['lamp', 'desk'])
  })

  it.each<[string, string | Buffer]>([
    ['truncated JSON', '{"id":"forged"'],
    ['no JSON', 'hello'],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00])],
    ['a NUL', '\0'],
  ])('is parked when its payload is %s, and the key goes on when that is dropped', async (_, payload) => {
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    await append('lamp')
    await drained(log, group)
    await forge('1-2', { payloads: payload })
    await eventually(async () =>
      expect(await log.parking(group).list()).toMatchObject([
        { collection: 'notes', key: 'forged', reason: 'CHANGE_UNREADABLE' },
      ]),
    )
    const [found] = await log.parking(group).list()
    expect(found!.message.length).toBeLessThan(1_024)
    await append('desk')
    await drained(log, group)
    expect([...sink.entries().keys()]).toEqual(['lamp', 'desk'])
  })

  // Schemas are asked when values enter; a sink rejects what it cannot hold.
  it.each<[string, Record<string, string | Buffer>, string]>([
    ['a number', { payloads: '5' }, 'applied'],
    ['a list', { payloads: '[]' }, 'applied'],
    ['null', { payloads: 'null' }, 'applied'],
    ['an object of another shape', { payloads: '{"a":1}' }, 'applied'],
    ['JSON behind a BOM', { payloads: '\ufeff{"content":1,"id":"forged"}' }, 'parked'],
    ['JSON in UTF-16', { payloads: Buffer.from('{"content":1,"id":"forged"}', 'utf16le') }, 'parked'],
    ['JSON in another order', { payloads: '{"id":"forged","content":1}' }, 'applied'],
    ['JSON with a member twice', { payloads: '{"content":1,"id":"forged","id":"forged"}' }, 'applied'],
    ['a version far ahead', { versions: '1001' }, 'applied'],
    ['a schema version of tomorrow', { types: 'notes@999' }, 'applied'],
    ['a delete of a key that never was', { operations: 'd', payloads: '' }, 'passed over'],
    ['a collection of somebody else', { types: 'others@1' }, 'passed over'],
    ['no key', { keys: '' }, 'parked'],
    ['five megabytes', { payloads: `{"content":"${'x'.repeat(5_000_000)}","id":"forged"}` }, 'applied'],
    ['a field of five megabytes that nobody knows', { other: 'x'.repeat(5_000_000) }, 'applied'],
    [
      'ten thousand fields that nobody knows',
      Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`f${at}`, 'x'])),
      'applied',
    ],
    ['metadata that is no JSON', { metadata: '{', 'metadata-of': '1' }, 'applied'],
    ['a trace that is none', { traces: '00-x\u202e 1', 'traces-of': '1' }, 'applied'],
    ['an encoding that there is not', { encoding: 'br', dictionary: '7', checksum: 'x' }, 'applied'],
  ])('delays nobody else when it holds %s', async (what, fields, becomes) => {
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    await append('lamp')
    await drained(log, group)
    await forge('1-2', fields)
    await append('desk')
    await drained(log, group)
    const parked = await log.parking(group).list()
    const isApplied = [...sink.entries().keys()].some((key) => key !== 'lamp' && key !== 'desk')
    expect([what, parked.length > 0 ? 'parked' : isApplied ? 'applied' : 'passed over']).toEqual([
      what,
      becomes,
    ])
    expect([...sink.entries().keys()]).toContain('desk')
    expect(worker.health().live).toBe(true)
  })

  it.each([
    '{',
    '7',
    'null',
    '["by"]',
    '{"by":7}',
    '{"by":"\\ud800"}',
    '{"\\ud800":"by"}',
    '{"by":{"by":"by"}}',
    '',
  ])('counts as one without metadata where these are none, also when it is parked: %j', async (metadata) => {
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    await append('lamp')
    await drained(log, group)
    await forge('1-2', { metadata, 'metadata-of': '1', payloads: '{' })
    await append('desk')
    await drained(log, group)
    expect(await log.parking(group).list()).toMatchObject([{ key: 'forged', reason: 'CHANGE_UNREADABLE' }])
    const read: Change['metadata'][] = []
    for await (const change of log.read(0, 'beginning')) read.push(change.metadata)
    expect(read).toEqual([{}, {}, {}])
  })

  it.each(['1', '2', '1001'])(
    'is told by verification, where it was applied, until the next change of its key: of version %s',
    async (versions) => {
      const sink = memorySink({ collection: notes })
      worker = await startWorker(log, { groups: { [group]: sink } })
      await append('lamp')
      await drained(log, group)
      await forge('1-2', { keys: 'lamp', versions, payloads: '{"content":7,"id":"lamp"}' })
      await forge('1-3', {})
      await drained(log, group)
      const { differences } = await verify(log, sink, { group })
      expect(verdicts(differences)).toEqual({ forged: 'foreign', lamp: 'foreign' })
      await append('lamp', 2)
      await append('forged', 2)
      await drained(log, group)
      expect(await verify(log, sink, { group })).toMatchObject({ equal: true })
    },
  )

  it('ends no feed and no command that shows changes, where nobody can decode its payload', async () => {
    await using served = await serveFeed(feedHandler(log, { collections: [notes], authorize: () => true }))
    const { body } = await fetch(`${served.url}?collection=notes`)
    let text = ''
    const reading = (async () => {
      for await (const bytes of body!) text += Buffer.from(bytes).toString()
    })().catch(() => {})
    await append('lamp')
    await eventually(() => expect(text).toContain('"key":"lamp"'))
    await forge('1-2', { payloads: '{' })
    await append('desk')
    await eventually(() => expect(text).toContain('"key":"desk"'))
    expect(text).toMatch(
      /event: unreadable\nid: .+\ndata: \{"key":"forged","version":"1","position":"0:1-2"\}\n\n/,
    )
    const at = ['--redis', server.url, '--namespace', log.namespace, '--json']
    const tail = await headwater(['tail', '--from', 'beginning', '--no-follow', ...at])
    expect(everyLine(tail)).toMatchObject([
      { key: 'lamp' },
      { key: 'forged', value: null, unreadable: expect.stringContaining('holds no JSON') as string },
      { key: 'desk' },
    ])
    expect((await headwater(['history', 'notes', 'forged', ...at])).ending).toBe(0)
    await served[Symbol.asyncDispose]()
    await reading
  })

  it('counts the last of two fields of one name', async () => {
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    await append('lamp')
    await drained(log, group)
    const fields = ['keys', 'first', ...forgedBatch('1-2', { keys: 'last' })]
    await client.call('XADD', stream(), '1-2', ...fields)
    await client.hset(partitionKeys(log, group).header, 'sequence', '2')
    await append('desk')
    await drained(log, group)
    expect([...sink.entries().keys()]).toEqual(['lamp', 'last', 'desk'])
  })

  it('of sequences that were given already changes nothing', async () => {
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    await append('lamp')
    await append('desk')
    await drained(log, group)
    await client.call('XADD', stream(), '1-3', ...forgedBatch('1-2', { keys: 'lamp' }))
    await eventually(async () => expect(await log.parking(group).list()).toHaveLength(1))
    expect([...sink.entries().keys()]).toEqual(['lamp', 'desk'])
  })

  it('is taken with fields that it knows nothing of, whatever their names, and archived with them', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'archive-'))
    const store = directoryArchive(folder)
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    await append('lamp')
    await forge('1-2', { id: '9-9', ['__proto__']: 'x', constructor: 'x', '': '', 'a\nb': '"' })
    const inOrder = forgedBatch('1-3', { keys: 'last' })
    const reversed = inOrder
      .flatMap((field, at) => (at % 2 === 0 ? [[field, inOrder[at + 1]!]] : []))
      .toReversed()
    await client.call('XADD', stream(), '1-3', ...reversed.flat())
    await client.hset(partitionKeys(log, group).header, 'sequence', '3')
    await append('desk')
    await drained(log, group)
    expect([...sink.entries().keys()]).toEqual(['lamp', 'forged', 'last', 'desk'])
    await archive(log, store)
    expect(await verifyArchive(log, store)).toMatchObject([{ changes: 4, last: 4 }])
    await rm(folder, { recursive: true })
  })

  it('touches no prototype', async () => {
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    await append('lamp')
    await drained(log, group)
    await forge('1-2', {
      keys: '__proto__',
      payloads: '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}},"id":"__proto__"}',
    })
    await drained(log, group)
    const changes: Change[] = []
    for await (const change of log.read(0, 'beginning')) changes.push(change)
    expect(changes.map(({ value }) => value)).toHaveLength(2)
    await verify(log, sink, { group })
    await log.get(notes, '__proto__')
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
  })

  it('of a later epoch than the header knows stops its partition, and says so', async () => {
    const told: string[] = []
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, {
      groups: { [group]: sink },
      onEvent: (event) => void (event.kind === 'damaged' && told.push(event.error.message)),
    })
    await append('lamp')
    await drained(log, group)
    const fields = { first: '2', time: '1', types: 'notes@1', operations: 'p', versions: '1', keys: 'x' }
    await client.call(
      'XADD',
      stream(),
      '9-2',
      ...Object.entries({ ...fields, payloads: '{"id":"x"}' }).flat(),
    )
    await eventually(() => expect(told).not.toEqual([]))
    expect(told[0]).toContain('Entry 9-2 of partition 0 is of an epoch that its header does not know')
    await takeAway((await append('desk').catch((error: unknown) => error)) as Error)
    await append('desk')
    await eventually(() => expect(sink.entries().size).toBe(2))
    // From here on the consumer group gives what comes again, and nothing of the stray is left.
    await append('chair')
    await drained(log, group)
    expect([...sink.entries().keys()]).toEqual(['lamp', 'desk', 'chair'])
    const [stands] = (await client.xinfo('GROUPS', stream())) as unknown[][]
    expect(stands).toContain('1-3')
  })
})

describe('a message that somebody else sends to a feed over pub/sub', () => {
  it('changes nothing', async () => {
    const { seen, feed, following } = await follow()
    await append('lamp')
    await eventually(() => expect(seen).toEqual(['lamp']))
    const [channel] = (await client.pubsub('CHANNELS', '*')) as string[]
    for (const message of ['', '\n', 'x', '0'.repeat(16), `${'0'.repeat(16)} 1-99999`, 'f'.repeat(100_000)])
      await client.publish(channel!, message)
    await append('desk')
    await eventually(() => expect(seen).toEqual(['lamp', 'desk']))
    feed.close()
    await following
  })
})

/** A partition in which the lamp is not, and a key that is there. */
async function appendToTwo() {
  const home = Number((await append('lamp')).position.split(':')[0])
  const foreign = (home + 1) % log.partitions
  // A key that belongs there, so that there is a log to forge.
  for (let id = 0; ; id++) {
    const { key, position } = await append(`n${id}`)
    if (Number(position.split(':')[0]) === foreign) return { foreign, neighbour: key }
  }
}
/** Behind what is there; what is not counted is unknown to the header. */
async function forgeIn(partition: number, counted: boolean, fields: Record<string, string>): Promise<void> {
  const { header, log: stream } = partitionKeys(log, group, partition)
  const sequence = Number(await client.hget(header, 'sequence'))
  const last = sequence + (fields['keys'] ?? '').split('\n').length
  const batch = forgedBatch(`1-${last}`, { first: `${sequence + 1}`, ...fields })
  await client.call('XADD', stream, `1-${last}`, ...batch)
  if (counted) await client.hset(header, 'sequence', last)
}

describe('a batch with a key that belongs to another partition', () => {
  beforeEach(async () => {
    await log.close()
    log = await openTestLog(server.options, { partitions: 4 })
  })

  it.each([
    ['which the header counts', true],
    ['which the header does not count', false],
  ])('is parked, and its sink is told nothing of it: %s', async (_, counted) => {
    const { foreign, neighbour } = await appendToTwo()
    const sink = memorySink({ collection: notes })
    worker = await startWorker(log, { groups: { [group]: sink } })
    await drained(log, group)
    await forgeIn(foreign, counted, {
      operations: 'pp',
      versions: '7 7',
      keys: `${neighbour}\nlamp`,
      payloads: `{"content":7,"id":"${neighbour}"}\n{"content":7,"id":"lamp"}`,
    })
    await eventually(async () =>
      expect(await log.parking(group).list()).toMatchObject([
        {
          partition: foreign,
          reason: 'CHANGE_UNREADABLE',
          message: expect.stringMatching(/ change 1 has a key of partition \d, "lamp"\.$/) as string,
        },
      ]),
    )
    expect(await verify(log, sink, { group })).toMatchObject({ equal: true })
    if (!counted) await takeAway((await append(neighbour).catch((error: unknown) => error)) as Error)
    await append('lamp', 2)
    await append(neighbour, 2)
    await drained(log, group)
    expect(sink.entries().get('lamp')).toMatchObject({ content: 2 })
    expect(await verify(log, sink, { group })).toMatchObject({ equal: true })
  })

  it('would win over what is there, where the application itself says what belongs where: verification tells it', async () => {
    const routed = defineCollection('routed', {
      schema: z.object({ id: z.string(), content: z.int() }),
      key: ({ id }) => id,
      partitionKey: () => 'all',
    })
    await using other = await openTestLog(server.options, { partitions: 4, collections: [routed] })
    const { position } = await other.append(routed.put({ id: 'lamp', content: 1 }))
    const foreign = (Number(position.split(':')[0]) + 1) % other.partitions
    const sink = memorySink({ collection: routed })
    worker = await startWorker(other, { groups: { [group]: sink } })
    const { header, log: stream } = partitionKeys(other, group, foreign)
    const payloads = '{"content":7,"id":"lamp"}'
    const forged = { first: '1', types: 'routed@1', keys: 'x\nlamp', versions: '1 7', operations: 'pp' }
    const fields = forgedBatch('1-2', { ...forged, payloads: `{"content":7,"id":"x"}\n${payloads}` })
    await client.call('XADD', stream, '1-2', ...fields)
    await client.hset(header, 'sequence', '2')
    await drained(other, group)
    const { differences } = await verify(other, sink, { group })
    expect(verdicts(differences)).toEqual({ lamp: 'foreign', x: 'foreign' })
  })
})
