import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import { connect, replay, rewind, startWorker, verify, type Log } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, openSharedRedis, server } from '../support/shared-redis.ts'
import { watchedSink } from '../worker/watched-sink.ts'

let log: Log
let name: string
openSharedRedis()

beforeEach(async () => {
  name = `${server.namespacePrefix}${randomUUID()}`
  log = await connect(server.options, { namespace: name, collections: [notes], partitions: 1 })
})
afterEach(() => log.close())

const cache = () =>
  redisSink({ client, collection: notes, key: `${name}:note:{key}`, prefix: `sink:${name}` })
const put = async (id: string, content: number) => (await log.append(notes.put({ id, content }))).position
const applied = async () => log.whenApplied(await log.end(0), { group: 'copy' })

describe('a rewind', () => {
  it('gives a group everything after a position again, and a sink of states takes nothing older', async () => {
    const sink = watchedSink()
    await using _ = await startWorker(log, { groups: { copy: { sink, coalesce: false } } })
    const first = await put('lamp', 1)
    for (const content of [2, 3, 4]) await put('lamp', content)
    await applied()
    const before = sink.offered().length
    expect(await rewind(log, { group: 'copy', to: first })).toMatchObject([
      { partition: 0, to: first, changes: 3 },
    ])
    await applied()
    expect(sink.offered().slice(before)).toEqual([2, 3, 4])
    expect(sink.entries().get('lamp')).toEqual({ id: 'lamp', content: 4 })
  })

  it('brings back what a sink has lost', async () => {
    await using _ = await startWorker(log, { groups: { copy: cache() } })
    for (const id of ['lamp', 'desk']) await put(id, 1)
    await applied()
    await client.del(`${name}:note:lamp`)
    await client.hdel(`sink:${name}:rows`, `${name}:note:lamp`)
    expect(await verify(log, cache(), { group: 'copy', digests: false })).toMatchObject({
      result: 'different',
    })
    await rewind(log, { group: 'copy', to: 'beginning' })
    await applied()
    expect(await verify(log, cache(), { group: 'copy', digests: false })).toMatchObject({ result: 'equal' })
  })

  it('goes to a time, says beforehand what it would do, and never goes forward', async () => {
    const sink = watchedSink()
    await using _ = await startWorker(log, { groups: { copy: sink } })
    await put('lamp', 1)
    const [seconds, micros] = await client.time()
    const time = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
    await eventually(async () => expect(Number((await client.time())[0]) * 1_000).toBeGreaterThan(time))
    const last = await put('lamp', 2)
    await applied()
    expect(await rewind(log, { group: 'copy', to: time, dryRun: true })).toMatchObject([{ changes: 1 }])
    expect(await log.groups()).toMatchObject([{ checkpoint: last }])
    expect(await rewind(log, { group: 'copy', to: new Date(time) })).toMatchObject([{ changes: 1 }])
    await applied()
    await expect(rewind(log, { group: 'copy', to: last })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    await expect(rewind(log, { group: 'nobody', to: 'beginning' })).rejects.toMatchObject({
      code: 'GROUP_UNKNOWN',
    })
  })

  it('is refused below what retention has removed, and changes nothing then', async () => {
    const sink = watchedSink()
    await using _ = await startWorker(log, { groups: { copy: sink } })
    for (const content of [1, 2, 3]) await put('lamp', content)
    await applied()
    await client.xtrim(`headwater:{${name}:0}:log`, 'MAXLEN', 1)
    await expect(rewind(log, { group: 'copy', to: 'beginning' })).rejects.toMatchObject({
      code: 'HISTORY_TRIMMED',
    })
    expect(await applied()).toBe('applied')
  })
})

describe('a replay of one key', () => {
  it('brings what the key is now, and takes nothing back', async () => {
    await using _ = await startWorker(log, { groups: { copy: cache() } })
    await put('lamp', 1)
    await put('lamp', 2)
    await put('desk', 1)
    await applied()
    expect(await replay(log, cache(), 'lamp', { group: 'copy' })).toMatchObject({ offered: 1, applied: 0 })
    await client.del(`${name}:note:lamp`)
    await client.hdel(`sink:${name}:rows`, `${name}:note:lamp`)
    expect(await replay(log, cache(), 'lamp', { group: 'copy' })).toMatchObject({ offered: 1, applied: 1 })
    expect(await client.get(`${name}:note:lamp`)).toBe('{"content":2,"id":"lamp"}')
    // The worker comes back, and goes on.
    await put('desk', 2)
    await applied()
    await expect(replay(log, cache(), 'nobody', { group: 'copy' })).rejects.toMatchObject({
      code: 'KEY_ABSENT',
    })
  })

  it('overwrites when it is forced to, with the latest value and no other', async () => {
    await using _ = await startWorker(log, { groups: { copy: cache() } })
    await put('lamp', 1)
    await put('lamp', 2)
    await applied()
    await client.set(`${name}:note:lamp`, '{"content":"edited","id":"lamp"}')
    expect(await replay(log, cache(), 'lamp', { group: 'copy', from: 'history' })).toMatchObject({
      offered: 2,
      applied: 0,
    })
    expect(await replay(log, cache(), 'lamp', { group: 'copy', force: true })).toMatchObject({ applied: 1 })
    expect(await client.get(`${name}:note:lamp`)).toBe('{"content":2,"id":"lamp"}')
    expect(await verify(log, cache(), { group: 'copy', deep: true })).toMatchObject({ result: 'equal' })
  })
})
