import { notes, type Note } from '@headwater/conformance'
import {
  HeadwaterError,
  memorySink,
  purgeSinkTombstones,
  setRetention,
  startWorker,
  trim,
  verify,
  type Log,
  type Sink,
} from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { releaseHold, takeHold } from '../../packages/core/src/retention/holds.ts'
import { drained, openTestLog } from '../worker/test-log.ts'
import { watchedSink } from '../worker/watched-sink.ts'

let server: OwnRedisServer
let replica: OwnRedisServer
let client: Redis
let log: Log

beforeAll(async () => {
  ;[server, replica] = await Promise.all([startRedis({ own: true }), startRedis({ own: true })])
  client = new Redis(replica.options)
})
beforeEach(async () => {
  log = await openTestLog(server.options, { partitions: 2 })
  await setRetention(log, { retentionMs: 0 })
  await client.flushall()
})
afterEach(() => log.close())
afterAll(async () => {
  client.disconnect()
  await Promise.all([server.stop(), replica.stop()])
})

const put = (id: string, content = 1) => log.append(notes.put({ id, content }))
async function applyAll(sink: Sink<Note>): Promise<void> {
  const worker = await startWorker(log, { groups: { copy: sink } })
  await drained(log, 'copy')
  await worker.stop()
}
async function tombstonesOf(sink: Sink<Note>): Promise<string[]> {
  const keys: string[] = []
  for await (const { key, deleted } of sink.list!()) if (deleted) keys.push(key)
  return keys.toSorted()
}

describe.each<[string, () => Sink<Note>]>([
  ['memory', () => memorySink({ collection: notes })],
  ['redis', () => redisSink({ client, collection: notes, key: (id) => `note:${id}` })],
])('the tombstones of a sink in %s', (_, open) => {
  it('go when their delete is trimmed, and no others; the copy stays equal and goes on', async () => {
    const sink = open()
    for (const id of ['a', 'b', 'c', 'd']) await put(id)
    for (const id of ['a', 'b']) await log.append(notes.delete(id))
    await applyAll(sink)
    expect(await purgeSinkTombstones(log, sink)).toBe(0)
    await trim(log)
    await log.append(notes.delete('c'))
    await applyAll(sink)
    expect(await tombstonesOf(sink)).toEqual(['a', 'b', 'c'])
    expect(await purgeSinkTombstones(log, sink, { dryRun: true })).toBe(2)
    expect(await tombstonesOf(sink)).toEqual(['a', 'b', 'c'])
    expect(await purgeSinkTombstones(log, sink)).toBe(2)
    expect(await tombstonesOf(sink)).toEqual(['c'])
    expect(await verify(log, sink, { group: 'copy', deep: true })).toMatchObject({ equal: true })
    await put('a', 2)
    await applyAll(sink)
    expect(await verify(log, sink, { group: 'copy', deep: true })).toMatchObject({ equal: true })
  })
})

describe('a tombstone', () => {
  it('stays while a copy, rebuild, replay or redrive is running that began before it', async () => {
    const sink = memorySink({ collection: notes })
    await put('a')
    const rebuild = { name: 'rebuild', owner: 'somebody' }
    for (const partition of [0, 1])
      await takeHold(logParts(log), { ...rebuild, partition, kind: 'rebuild', after: 'end' })
    await log.append(notes.delete('a'))
    await applyAll(sink)
    await trim(log)
    expect(await purgeSinkTombstones(log, sink)).toBe(0)
    for (const partition of [0, 1]) await releaseHold(logParts(log), { ...rebuild, partition })
    await trim(log)
    expect(await purgeSinkTombstones(log, sink)).toBe(1)
  })

  it('stays while its key is parked', async () => {
    const sink = watchedSink()
    await put('a')
    await log.append(notes.delete('a'))
    await applyAll(sink)
    sink.answer = () => {
      throw new HeadwaterError('SINK_REJECTED', 'It cannot hold this.')
    }
    await put('a', 2)
    await applyAll(sink)
    await trim(log)
    expect(await tombstonesOf(sink)).toEqual(['a'])
    expect(await purgeSinkTombstones(log, sink)).toBe(0)
  })

  it('cannot be asked of a sink that does not declare what it takes', async () => {
    const naked = memorySink({ collection: notes })
    delete naked.replace
    await expect(purgeSinkTombstones(log, naked)).rejects.toMatchObject({ code: 'SINK_CONTRACT' })
    const events = { ...memorySink({ collection: notes }), takes: 'events' as const }
    await expect(purgeSinkTombstones(log, events)).rejects.toMatchObject({ code: 'EVENTS_ONLY' })
  })
})
