import { isDeepStrictEqual } from 'node:util'
import {
  connect,
  defineCollection,
  isHeadwaterError,
  parsePosition,
  type Feed,
  type FeedChange,
  type FeedPosition,
  type Log,
} from '@headwater/core'
import { startProxy, startRedis } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'

const schema = z.object({ id: z.string(), n: z.int() })
const things = defineCollection('things', { schema, key: ({ id }) => id })
const others = defineCollection('others', { schema, key: ({ id }) => id })
const lean = defineCollection('lean', { schema, key: ({ id }) => id, state: 'versions' })
const blobs = defineCollection('blobs', {
  schema: z.object({ id: z.string(), text: z.string() }),
  key: ({ id }) => id,
})
const collections = [things, others, lean, blobs]

let names = 0

startOwnRedis({ protocol: 2 })

const open = (namespace = `feed-${++names}`): Promise<Log> =>
  connect(server.options, { namespace, collections, partitions: 3 })

const thing = (id: string, n = 0) => things.put({ id, n })
const textOf = ({ key, kind, value }: FeedChange): string =>
  kind === 'delete' ? `-${key}` : `${key}=${(value as { n: number }).n}`

/** The next changes of a feed. */
async function take<T>(feed: Feed<T>, count: number): Promise<FeedChange<T>[]> {
  const taken = []
  while (taken.length < count) {
    const next = await feed.next()
    if (next.done) break
    taken.push(next.value)
  }
  return taken
}

/** What a reader of all that a feed gives holds in the end. */
function replay(changes: readonly FeedChange[]): Record<string, unknown> {
  const held = new Map<string, unknown>()
  for (const { key, kind, value } of changes) {
    if (kind === 'delete') held.delete(key)
    else held.set(key, value)
  }
  return Object.fromEntries([...held].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise
  } catch (error) {
    return isHeadwaterError(error) ? error.code : String(error)
  }
  return 'no error'
}

describe('a feed', () => {
  it('gives what is appended from now on, deletes included, and nothing of other collections', async () => {
    await using log = await open()
    await log.append(thing('early'))
    await using feed = log.feed(things)
    await feed.started
    await log.append(thing('a', 1))
    await log.append(others.put({ id: 'a', n: 9 }))
    await log.append(things.delete('a'))
    expect((await take(feed, 2)).map(textOf)).toEqual(['a=1', '-a'])
    const [change] = await Promise.all([
      take(feed, 1),
      log.append(thing('b', 2), { metadata: { who: 'me' } }),
    ])
    expect(change[0]).toMatchObject({
      collection: 'things',
      key: 'b',
      kind: 'put',
      version: '1',
      value: { id: 'b', n: 2 },
      payload: '{"id":"b","n":2}',
      metadata: { who: 'me' },
    })
    expect(change[0]!.snapshot).toBeUndefined()
  })

  it('begins with the live values, and goes on with what was appended while they were read', async () => {
    await using log = await open()
    for (let n = 0; n < 300; n++) await log.append(thing(`k${n}`, n))
    await log.append(things.delete('k7'))
    await using feed = log.feed(things, { from: 'snapshot' })
    await feed.started
    const writing = (async () => {
      for (let n = 0; n < 300; n += 3) await log.append(n % 2 ? thing(`k${n}`, -n) : things.delete(`k${n}`))
    })()
    const changes = await take(feed, 1)
    expect(feed.position).toBeUndefined()
    await writing
    await log.append(thing('last'))
    const expected = await present(log)
    while (!isDeepStrictEqual(replay(changes), expected)) changes.push(...(await take(feed, 1)))
    await feed.live
    expect(feed.position).toBeDefined()
    const rows = changes.filter(({ snapshot }) => snapshot)
    expect(rows.length).toBeGreaterThan(200)
    expect(new Set(rows.map(({ key }) => key)).size).toBe(rows.length)
    expect(orderFaults(changes)).toEqual([])
  })

  it('is told by pub/sub, and reads nothing while it keeps up', async () => {
    await using log = await open()
    await using feed = log.feed(things)
    await feed.started
    await log.append(thing('first'))
    await take(feed, 1)
    // Once a second it looks at the header, and reads what it has not heard of by then: not in every stretch of appends.
    await eventually(async () => {
      const before = await callsOf('xrange')
      for (let n = 0; n < 20; n++) {
        await log.append(thing('k', n))
        expect((await take(feed, 1)).map(textOf)).toEqual([`k=${n}`])
      }
      expect(await callsOf('xrange')).toBe(before)
    })
  })

  it('reads batches that are too large for a message from the log', async () => {
    await using log = await open()
    await using feed = log.feed(blobs)
    await feed.started
    const text = 'é'.repeat(20_000)
    await log.append(blobs.put({ id: 'a\n\\b', text }))
    await log.append(blobs.put({ id: 'a\n\\b', text: 'ü\u0000🙂' }))
    const changes = await take(feed, 2)
    expect(changes.map(({ key, value }) => [key, value!.text])).toEqual([
      ['a\n\\b', text],
      ['a\n\\b', 'ü\u0000🙂'],
    ])
  })

  it('gives all collections together, also those that its program does not know', async () => {
    await using log = await open()
    await using stranger = await connect(server.options, { namespace: log.namespace, create: false })
    await using all = stranger.feedAll()
    await all.started
    await log.append(thing('a', 1))
    await log.append(others.put({ id: 'a', n: 2 }))
    expect((await take(all, 2)).map(({ collection, payload }) => `${collection} ${payload}`)).toEqual([
      'things {"id":"a","n":1}',
      'others {"id":"a","n":2}',
    ])
    expect(() => stranger.feedAll({ from: 'snapshot' })).toThrow(/OPTION_INVALID/)
  })

  it('goes on from its position as if it had never ended', async () => {
    await using log = await open()
    await using first = log.feed(things)
    await first.started
    for (let n = 0; n < 50; n++) await log.append(thing(`k${n % 5}`, n))
    const before = await take(first, 20)
    const position = first.position
    first.close()
    expect(await first.next()).toEqual({ done: true, value: undefined })
    await using second = log.feed(things, { from: position! })
    const after = await take(second, 30)
    const all = [...before, ...after]
    expect(new Set(all.map((change) => change.position)).size).toBe(50)
    expect(orderFaults(all)).toEqual([])
  })

  it('begins with what is left of the log, also where nothing is or was', async () => {
    await using log = await open()
    await using empty = log.feed(things, { from: 'beginning' })
    await empty.started
    await log.append(thing('a', 1))
    expect((await take(empty, 1)).map(textOf)).toEqual(['a=1'])
    await using later = log.feed(things, { from: 'beginning' })
    expect((await take(later, 1)).map(textOf)).toEqual(['a=1'])
    for (let partition = 0; partition < 3; partition++) await trim(log, partition)
    await using trimmed = log.feed(things, { from: 'beginning' })
    await trimmed.started
    await log.append(thing('b', 2))
    expect((await take(trimmed, 1)).map(textOf)).toEqual(['b=2'])
  })

  it('gives only what fits its filter, and its position passes the rest', async () => {
    await using log = await open()
    await using feed = log.feed(things, { where: ({ key }) => key.startsWith('yes') })
    await feed.started
    for (let n = 0; n < 20; n++) await log.append(thing(n % 2 ? `yes${n}` : `no${n}`, n))
    expect((await take(feed, 10)).map(({ key }) => key).every((key) => key.startsWith('yes'))).toBe(true)
    await using all = log.feed(things, { from: feed.position! })
    await log.append(thing('end'))
    expect((await take(all, 1)).map(({ key }) => key)).toEqual(['end'])
  })

  it('ends with its loop, its signal and its log', async () => {
    const log = await open()
    const controller = new AbortController()
    const aborted = log.feed(things, { signal: controller.signal })
    const waiting = aborted.next()
    await aborted.started
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')

    const looped = log.feed(things)
    await looped.started
    await log.append(thing('a'))
    for await (const change of looped) {
      expect(change.key).toBe('a')
      break
    }
    expect(await looped.next()).toEqual({ done: true, value: undefined })

    const orphan = log.feed(things)
    await orphan.started
    const last = orphan.next()
    const closing = codeOf(last)
    await log.close()
    expect(await closing).toBe('CLOSED')
    // Nothing may be left that holds a connection.
    await eventually(async () => {
      expect(await client.client('LIST')).not.toContain(log.namespace)
    })
  })

  it('refuses a snapshot where the log keeps no values, and positions that are none', async () => {
    await using log = await open()
    expect(() => log.feed(lean, { from: 'snapshot' })).toThrow(/STATE_REQUIRED/)
    expect(() => log.feed(things, { from: 'yesterday' as FeedPosition })).toThrow(/POSITION_INVALID/)
    expect(() => log.feed(things, { from: '0a0b0c0d.1-1' as FeedPosition })).toThrow(/3 partitions|has 3/)
    expect(() => log.feed(things, { buffer: 0 })).toThrow(/OPTION_INVALID/)
  })
})

describe('a feed that cannot go on', () => {
  it('says so when its position is older than what the log still holds', async () => {
    await using log = await open()
    await using feed = log.feed(things)
    await feed.started
    for (let n = 0; n < 30; n++) await log.append(thing(`k${n}`, n))
    await take(feed, 3)
    const position = feed.position!
    feed.close()
    for (let partition = 0; partition < 3; partition++) await trim(log, partition)
    await using late = log.feed(things, { from: position })
    expect(await codeOf(take(late, 1))).toBe('MUST_REFETCH')
    expect(await late.next()).toEqual({ done: true, value: undefined })
  })

  it('says so when its position is of another log', async () => {
    await using one = await open()
    await using two = await open()
    await using feed = one.feed(things)
    await feed.started
    await using stranger = two.feed(things, { from: feed.position! })
    expect(await codeOf(take(stranger, 1))).toBe('MUST_REFETCH')
  })

  it('says so when the log was deleted and made again under it', async () => {
    const namespace = `feed-${++names}`
    await using log = await open(namespace)
    await using feed = log.feed(things)
    await feed.started
    const waiting = codeOf(take(feed, 1))
    const keys = await client.keys(`headwater:{${namespace}*`)
    await client.del(...keys)
    expect(['MUST_REFETCH', 'LOG_DAMAGED']).toContain(await waiting)
  })
})

describe('feeds of two databases that share a server and a name', () => {
  it('hear only their own log', async () => {
    const namespace = `feed-${++names}`
    await using log = await open(namespace)
    await using other = await connect({ ...server.options, db: 5 }, { namespace, collections, partitions: 3 })
    await using feed = log.feed(things)
    await feed.started
    await other.append(thing('a', 5))
    await log.append(thing('a', 1))
    expect((await take(feed, 1)).map(textOf)).toEqual(['a=1'])
  })
})

describe('a feed of a server without sharded publish/subscribe', () => {
  it('hears by the older commands that the log has grown, and reads it', async () => {
    const without = ['SPUBLISH ""', 'SSUBSCRIBE ""', 'PUBSUB ""']
    await using old = await startRedis({ own: true, config: { 'rename-command': without } })
    await using log = await connect(old.options, { namespace: 'old', collections, partitions: 1 })
    await using feed = log.feed(things)
    await feed.started
    const startedAt = performance.now()
    for (let n = 0; n < 20; n++) {
      await log.append(thing('k', n))
      expect((await take(feed, 1)).map(textOf)).toEqual([`k=${n}`])
    }
    // Who hears nothing looks once a second: that would take twenty.
    expect(performance.now() - startedAt).toBeLessThan(10_000)
  })
})

describe('a feed whose connection is cut again while it subscribes', () => {
  it('leaves no rejection unhandled, and hears what comes later', async () => {
    const unhandled: unknown[] = []
    const note = (reason: unknown): number => unhandled.push(reason)
    process.on('unhandledRejection', note)
    await using proxy = await startProxy({ path: server.socketPath })
    const namespace = `feed-${++names}`
    await using log = await connect({ path: proxy.address.path! }, { namespace, collections, partitions: 3 })
    await using feed = log.feed(things)
    for (let round = 0; round < 5; round++) {
      await eventually(async () => {
        expect(await client.call('PUBSUB', 'SHARDCHANNELS', `headwater:{${namespace}:*`)).toHaveLength(3)
      })
      const cutAgain = proxy.loseRequest('SSUBSCRIBE')
      proxy.cut()
      await cutAgain
    }
    await log.append(thing('a', 1))
    expect((await take(feed, 1)).map(textOf)).toEqual(['a=1'])
    process.off('unhandledRejection', note)
    expect(unhandled).toEqual([])
  })
})

describe('a subscriber that reads slowly', () => {
  it('leaves what does not fit in the log, and misses nothing', async () => {
    await using log = await open()
    await using feed = log.feed(things, { buffer: 10 })
    await feed.started
    for (let at = 0; at < 20; at++) {
      await Promise.all(Array.from({ length: 50 }, (_, n) => log.append(thing(`k${n}`, at))))
    }
    const changes = await take(feed, 1_000)
    expect(new Set(changes.map((change) => change.position)).size).toBe(1_000)
    expect(orderFaults(changes)).toEqual([])
    await log.append(thing('live'))
    expect((await take(feed, 1)).map(({ key }) => key)).toEqual(['live'])
  })
})

describe('a Redis that comes back with an older copy', () => {
  it('makes feeds refetch that were given what it lost, and lets others go on', async () => {
    await using own = await startRedis({ own: true })
    const admin = new Redis({ ...own.options, protocol: 2, retryStrategy: () => 20 })
    admin.on('error', () => {})
    await using log = await connect(own.options, { namespace: 'forked', collections, partitions: 1 })
    await log.append(thing('kept', 1))
    await admin.save()
    await using given = log.feed(things)
    await given.started
    await log.append(thing('lost', 2))
    expect((await take(given, 1)).map(textOf)).toEqual(['lost=2'])
    const position = given.position!
    const waiting = codeOf(take(given, 1))
    await own.kill('SIGKILL')
    await own.restart()
    await using fresh = log.feed(things, { from: 'beginning' })
    expect((await take(fresh, 1)).map(textOf)).toEqual(['kept=1'])
    await log.append(thing('new', 3))
    expect(await waiting).toBe('MUST_REFETCH')
    expect((await take(fresh, 1)).map(textOf)).toEqual(['new=3'])
    await using late = log.feed(things, { from: position })
    expect(await codeOf(take(late, 1))).toBe('MUST_REFETCH')
    admin.disconnect()
  })
})

async function present(log: Log): Promise<Record<string, unknown>> {
  const keys = new Set<string>()
  for (let partition = 0; partition < log.partitions; partition++) {
    for await (const { key } of log.read(partition)) keys.add(key)
  }
  const names = [...keys].toSorted()
  const values = await log.getMany(things, names)
  return Object.fromEntries(
    names.map((key, at) => [key, values[at]?.value] as const).filter(([, value]) => value),
  )
}

/** How often the server ran a command. */
async function callsOf(command: string): Promise<number> {
  const [, calls = '0'] =
    new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await client.info('commandstats')) ?? []
  return Number(calls)
}

async function trim(log: Log, partition: number): Promise<void> {
  const { epoch, sequence } = parsePosition(await log.end(partition))
  await client.xtrim(`headwater:{${log.namespace}:${partition}}:log`, 'MINID', `${epoch}-${sequence + 1}`)
}

/** Changes of a partition that come twice or before earlier ones. */
function orderFaults(changes: readonly FeedChange[]): string[] {
  const last = new Map<string, number>()
  const faults = []
  for (const { partition, key, stamp, position } of changes) {
    const id = `${partition} ${key}`
    if ((last.get(id) ?? 0) >= stamp.sequence) faults.push(position)
    last.set(id, stamp.sequence)
  }
  return faults
}
